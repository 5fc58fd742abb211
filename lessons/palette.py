"""A palette of codes: a sheet of small pictures, of which one is chosen."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from lessons import pixels
from lessons.style import as_slices

Decode = Callable[[Tensor], Tensor]  # codes [n, h, w] → slices [n, 1, H, W]
COLUMNS = 16
SIDE = 30  # pixels of the screen for one code


class Palette:
    """A menu of groups and the sheet of the codes in one of them.

    Args:
        patches: `[K, a, b]`, a picture of each code, in [0, 1].
        groups: name → codes, in the order in which they are shown.
    """

    def __init__(self, patches, groups: Mapping[str, Sequence[int]]):
        import ipywidgets  # of the extra `lab`, not needed headless

        from lessons.touch import Touch

        self.patches = as_slices(patches)
        self.groups = {name: list(codes) for name, codes in groups.items() if codes}
        self.menu = ipywidgets.Dropdown(options=list(self.groups), description="codes")
        self.sheet = Touch(label="palette of codes")
        scroll = ipywidgets.Layout(max_height="260px", overflow="auto")
        self.widget = ipywidgets.VBox(
            [self.menu, ipywidgets.VBox([self.sheet], layout=scroll)]
        )
        self._show_group()
        self.menu.observe(self._show_group, "value")
        self.sheet.observe(self._tell, "cursor")

    @property
    def codes(self) -> list[int]:
        """Those of the group that is shown."""
        return self.groups[self.menu.value]

    @property
    def code(self) -> int:
        """The chosen one."""
        column, row = self.sheet.cursor
        at = row * self.sheet.shape[0] + column
        return self.codes[min(at, len(self.codes) - 1)]

    def choose(self, code: int) -> None:
        """Move the cursor to a code, in another group where it must be."""
        if code not in self.codes:
            holding = [name for name, codes in self.groups.items() if code in codes]
            if not holding:
                return
            self.menu.value = holding[0]
        at = self.codes.index(code)
        columns = self.sheet.shape[0]
        self.sheet.cursor = [at % columns, at // columns]

    def observe(self, act: Callable[[], None]) -> None:
        """Have ``act()`` called whenever another code is chosen."""
        self.sheet.observe(lambda _: act(), "cursor")
        self.menu.observe(lambda _: act(), "value")

    def _show_group(self, *_):
        columns = min(COLUMNS, len(self.codes))
        rows = -(-len(self.codes) // columns)
        picture = pixels.sheet(self.patches[np.array(self.codes)], columns)
        self.sheet.shape, self.sheet.cursor = [columns, rows], [0, 0]
        self.sheet.width = SIDE * columns
        self.sheet.aspect = picture.shape[1] / picture.shape[0]
        self.sheet.picture = pixels.png(picture)
        self._tell()

    def _tell(self, *_):
        self.sheet.status = f"chosen: code {self.code}"
