"""Writes the settings table of README.md anew, from server/adamem_server/config.py."""

import re
from pathlib import Path

from adamem_server.config import markdown_table

README = Path(__file__).resolve().parent.parent / "README.md"

text = README.read_text(encoding="utf-8")
table = markdown_table().strip()
part = re.compile(r"(<!-- settings[^>]*-->\n).*?(<!-- /settings -->)", re.DOTALL)
README.write_text(part.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", text), encoding="utf-8")
