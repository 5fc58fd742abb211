"""``python -m vqlib`` is the ``vqlib`` command, for ``torchrun -m vqlib``."""

from vqlib.cli import main

if __name__ == "__main__":
    main(prog_name="vqlib")
