"""vqlib: the code under the tutorial on VAE and VQ-VAE for medical images.

Read the modules in the order of the notebooks that teach them: ``data`` (01),
``models.vae`` and ``losses`` (02), ``models.quantizers``, ``models.vqvae`` and
``training`` (03), ``models.priors`` (05).
"""

__version__ = "0.1.0"
