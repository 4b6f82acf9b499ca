"""The part of jq that examples use, as a program for machines without jq.

`jq [-e] [-r] '.a.b[].c >= 0.5' [FILE]`, `.a[-1]`, `keys`.
"""

from pathlib import Path

SOURCE = r"""#!/usr/bin/env python3
import json, operator, re, sys

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
words = [word for word in sys.argv[1:] if word not in ("-e", "-r")]
text = open(words[1]).read() if len(words) > 1 else sys.stdin.read()
path, compare, number = re.fullmatch(r"(\S+)(?: (\S+) (\S+))?", words[0]).groups()
values = [json.loads(text)]
for name, every, index, keys in re.findall(r"\.(\w+)|(\[\])|\[(-?\d+)\]|(keys)", path):
    if index:
        values = [value[int(index)] for value in values]
    elif keys:
        values = [sorted(value) for value in values]
    elif every:
        values = [each for value in values for each in value]
    else:
        values = [value.get(name) for value in values]
if compare:
    values = [COMPARE[compare](value, json.loads(number)) for value in values]
for value in values:
    print(value if "-r" in sys.argv and isinstance(value, str) else json.dumps(value, indent=2))
sys.exit("-e" in sys.argv and values[-1] in (None, False))
"""


def write_jq(folder: Path) -> None:
    """Write the program `jq` to a folder."""
    path = folder / "jq"
    path.write_text(SOURCE)
    path.chmod(0o755)
