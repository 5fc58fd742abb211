"""The table of all settings in the reference, made from `vqlib.settings` itself."""

import inspect
import re
from dataclasses import fields

from vqlib import profiles
from vqlib.settings import CHOICES, FLAT, GROUPS, RANGES

SHOWN = ("quick", "standard", "full")


def comments(group: type) -> dict[str, str]:
    """What the comment beside each field of a group of settings says."""
    found, name = {}, None
    for line in inspect.getsource(group).splitlines():
        if field := re.match(r"    (\w+): ", line):
            name = field[1]
            found[name] = ""
        if name and "  # " in line:
            found[name] = line.partition("  # ")[2]
    return {name: re.sub("``", "`", text) for name, text in found.items()}


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
            cells = [f"`{name}`", *values, allowed(name, field), means[field.name]]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
