from lessons import longer

FIT = {
    "data": "real_slices",
    "ceiling": 0.95,
    "exponent": 0.5,
    "curve": [[0.5, 0.8], [1, 0.85], [2, 0.9], [4, 0.91]],
    "next": {"length": 4, "ssim": 0.91},
    "tried": {"length": 2, "foretold": 0.89, "ssim": 0.9},
    "reaches": {"AVIF": 1.5, "WebP": None},
}
ROWS = [
    {"data": "real_slices", "length": length, "ssim": {"mean": ssim}}
    for length, ssim in ((0.5, 0.8), (1, 0.85), (2, 0.9))
]
CODECS = [{"data": "real_slices", "codec": "AVIF", "ssim": {"mean": 0.88}}]


def test_codec_lines_average_seeds_and_tell_larger_files():
    gap = {"data": "real_slices", "size": "128x64", "grid": "32x16", "bits": 4608.0}
    gap |= {"kind": "vqvae"}
    gaps = [
        gap | {"codec": "AVIF", "met": 1.0, "ssim": 0.02},
        gap | {"codec": "AVIF", "met": 1.0, "ssim": 0.04},
        gap | {"codec": "WebP", "met": 0.4, "ssim": -0.01},
        gap | {"codec": "AVIF", "met": 1.0, "ssim": 0.05, "kind": "vae"},
    ]
    vae, vqvae = longer.codec_lines(gaps)
    assert vae.startswith("real slices, 128x64, 576 bytes, VAE on 32x16")
    assert vae.endswith("AVIF +0.050")
    assert "VQ-VAE on 32x16" in vqvae
    assert vqvae.endswith("AVIF +0.030, WebP (larger files) -0.010")


def test_the_fitted_law_is_dotted_beyond_the_longest_training():
    figure = longer.length_panels(ROWS, [FIT], CODECS)
    (axis,) = figure.axes
    dots, within, beyond, level = axis.lines
    assert list(dots.get_xdata()) == [0.5, 1, 2]
    assert (max(within.get_xdata()), min(beyond.get_xdata())) == (2, 4)
    assert beyond.get_linestyle() == ":"
    assert level.get_ydata()[0] == 0.88
    assert axis.get_xscale() == "log"


def test_too_few_trainings_are_shown_without_a_law():
    figure = longer.length_panels(ROWS[:1], [], CODECS)
    assert len(figure.axes[0].lines) == 2  # the dots, and the codec


def test_length_lines_tell_ceiling_trial_and_codecs():
    first, trial, avif, webp = longer.length_lines([FIT])
    assert "towards SSIM 0.950" in first
    assert trial.endswith("foretell 0.890 for 2 times the steps; it is 0.900")
    assert avif.endswith("level with AVIF at 1.5 times the steps")
    assert webp.endswith("level with WebP at no length")


def test_length_lines_without_a_trial():
    fit = {key: value for key, value in FIT.items() if key != "tried"}
    assert len(longer.length_lines([fit])) == 3
