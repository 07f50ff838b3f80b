"""Numbers of result files as LaTeX macros, each with a comment that names its file and key."""

import json
import re

from persona_leakage.behaviours.base import behaviour_of_result
from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.config.personas import read_yaml
from persona_leakage.reporting.numbers import MISSING, STYLES, Numbers

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
SPECIAL = {character: f"\\{character}" for character in "{}$&#%_"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # behind \\ it would begin an option
    "ρ": r"\ensuremath{\rho}",
    "−": r"\ensuremath{-}",
    MISSING: "--",
}
NUMBER = re.compile(r"(?<![\w.,-])([-+]?)(\d[\d,]*(?:\.\d+)?)(?:e([-+]\d+))?(?!\w)")


def describe_behaviour(meta):
    """The :class:`Behaviour` of a result's meta, which an earlier version may have written."""
    return behaviour_of_result({**meta, **with_new_keys({"behaviour": meta["behaviour"]})})


def plain_setting(value):
    """A value of the config as text: lists with commas, control characters as escapes, "none" for null."""
    if isinstance(value, list):
        return ", ".join(map(plain_setting, value)) or "none"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"') or "empty"
    return "none" if value is None else json.dumps(value)


PAPER_STYLES = STYLES | {
    "half": lambda value: f"{(value[1] - value[0]) / 2:.2f}",
    "half_percent": lambda value: f"{50 * (value[1] - value[0]):.1f}",
    "setting": plain_setting,
    "noun": lambda meta: describe_behaviour(meta).noun,
    "gain": lambda meta: describe_behaviour(meta).gain,
}
TEXTS = ("text", "setting", "noun", "gain")


def escape(text):
    """Text for LaTeX. A character outside of Latin-1 that LaTeX may not know is written as [U+....]."""
    shown = (
        SPECIAL.get(each) or (each if " " <= each < "\x7f" or "\xa1" <= each <= "\xff" else f"{{[}}U+{ord(each):04X}]") for each in text
    )
    return re.sub("-(?=-)", "-{}", "".join(shown)).replace(r" \%", r"~\%") if text != MISSING else SPECIAL[MISSING]


def escape_number(text):
    """A number or interval of a style for LaTeX: signs and powers of ten in mathematics."""

    def one(match):
        sign, digits, power = match.groups()
        power = rf"\ensuremath{{\times10^{{{int(power)}}}}}" if power else ""
        return (rf"\ensuremath{{{sign}}}" if sign else "") + digits + power

    return NUMBER.sub(one, text).replace(" %", r"\,\%").replace("[", "{[}").replace(MISSING, "--")


def macro_name(words):
    """ "rho software_engineer 2" -> "leakRhoSoftwareEngineerTwo"; a macro's name has letters only."""
    parts = re.findall(r"[A-Za-z]+|\d", words)
    return "leak" + "".join(DIGITS[int(part)] if part.isdigit() else part[:1].upper() + part[1:] for part in parts)


class Macros(Numbers):
    """Looks values up like Numbers, and keeps each as a macro with its file and key.

    macros: {name: (LaTeX, style, file, keys)}. nulls: {(file, keys)} of the values that are null. missing:
    {their reason, or None: (its macro, the words of these values)}.
    """

    def __init__(self, home):
        super().__init__(home)
        run_config = read_yaml(self.home / "run_config.yaml")
        self.config = with_new_keys(run_config["config"])
        self.files["run_config.yaml"] = {**run_config, "config": self.config}
        self.macros, self.nulls, self.missing = {}, set(), {}

    def text(self, style, words, file, *keys):
        """The value as plain text, for Markdown; it becomes a macro as well."""
        self.show(style, words, file, *keys)
        value = self.value(file, *keys)
        return MISSING if value is None and style != "setting" else PAPER_STYLES[style](value)

    def show(self, style, words, file, *keys):
        """The macro for a value, such as "\\leakRhoVillain{}"; words: its name in small words, unlike those of any other value."""
        value, name = self.value(file, *keys), macro_name(words)
        shown = MISSING if value is None and style != "setting" else PAPER_STYLES[style](value)
        found = (escape(shown) if style in TEXTS else escape_number(shown), style, file, keys)
        while self.macros.setdefault(name, found) != found:  # a_1 and a_one
            name += "X"
        if shown == MISSING and (file, keys) not in self.nulls:
            self.nulls.add((file, keys))
            why = self.reason(file, keys)
            reason = self.value(file, *why) if why else None
            if reason not in self.missing:
                self.missing[reason] = why and self.show("text", f"why {words}", file, *why), []
            self.missing[reason][1].append(words)
        return f"\\{name}{{}}"

    def setting(self, path):
        """The macro for a value of the config, by its key: "training.lora.rank"."""
        keys = [int(key) if key.isdigit() else key for key in path.split(".")]
        return self.show("setting", f"config {path}", "run_config.yaml", "config", *keys)

    def reason(self, file, keys):
        """The keys of the text nearest to a value that says why it is null; None if there is none."""
        for depth in range(len(keys) - 1, -1, -1):
            block = self.value(file, *keys[:depth])
            if not isinstance(block, dict):
                continue
            found = [(key,) for key in (f"no_{keys[-1]}", "undefined", "no_comparison") if isinstance(block.get(key), str)]
            found += [("joint", "sources_left_out", key) for key in keys if key in block.get("joint", {}).get("sources_left_out", {})]
            found += [
                ("training_check", key, "why") for key in keys if block.get("training_check", {}).get(key, {}).get("learned") is False
            ]
            found += [("verdict", place, "because") for place, entry in enumerate(block.get("verdict", ())) if entry["id"] in keys]
            if found:
                return *keys[:depth], *found[0]
        return None

    def definitions(self):
        """The lines of macros.tex: a macro, and in a comment the style, the file and the key of its value."""
        return [
            rf"\newcommand{{\{name}}}{{{latex}}} % {style} {file} {'.'.join(map(str, keys))}"
            for name, (latex, style, file, keys) in self.macros.items()
        ]
