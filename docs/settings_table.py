"""The table of all settings in the reference, made from `vqlib.settings` itself."""

import inspect
import re
from dataclasses import fields

from vqlib import profiles
from vqlib.settings import CHOICES, FLAT, GROUPS, RANGES

SHOWN = ("quick", "standard", "full")


def comments(group: type) -> dict[str, str]:
    """What the comment beside each field says; where a group has none, what its base
    class says, or the autoencoder's of the same name."""
    found = {}
    for kind in (*GROUPS["autoencoder"].__mro__, *group.__mro__)[::-1]:
        if kind is object:
            continue
        for line in inspect.getsource(kind).splitlines():
            field = re.match(r"    (\w+): .*?  # (.*)", line)
            if field and (kind in group.__mro__ or field[1] not in found):
                found[field[1]] = field[2].replace("``", "`")
    return found


def allowed(name: str, field) -> str:
    if name in CHOICES:
        return ", ".join(f"`{choice}`" for choice in CHOICES[name])
    if name in RANGES:
        return " to ".join(f"{end:,.10g}" for end in RANGES[name])
    return "true or false" if isinstance(field.default, bool) else "text"


def settings_table() -> str:
    """A Markdown table for each group: setting, meaning, profiles, allowed values."""
    of = {name: profiles.get(name).as_dict() for name in SHOWN}
    lines = []
    for group, settings in GROUPS.items():
        means = comments(settings)
        lines += [f"## {group}", "", settings.__doc__, ""]
        lines += [f"| setting | {' | '.join(SHOWN)} | allowed | means |"]
        lines += ["| --- |" + " ---: |" * len(SHOWN) + " ---: | --- |"]
        by_field = {field.name: flat for flat, (g, field) in FLAT.items() if g == group}
        for field in fields(settings):
            name = by_field[field.name]
            values = (str(of[profile][name]).replace("x", "×") for profile in SHOWN)
            cells = [
                f"`{name}`",
                *values,
                allowed(name, field),
                means.get(field.name, ""),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
