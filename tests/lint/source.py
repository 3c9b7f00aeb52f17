"""What the lint scripts share: which files are ours, and C text with comments and strings blanked."""
import os
import re
import sys

ROOMS = ("wire", "runtime", "bridge", "device-agent", "broker-config", "ctl", "portal")
C_PLACES = (*ROOMS, "tests")
_NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def root_from_arguments():
    """The tree to look at: the first argument, or the one that this file is in."""
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    return os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else own)


def files(root, endings, places=C_PLACES):
    """Paths below `root`, relative, sorted. Fails when there is none: a check of nothing must not look like a pass."""
    found = []
    for place in places:
        for folder, folders, names in os.walk(os.path.join(root, place)):
            folders[:] = [name for name in folders if name not in ("node_modules", "build", "__pycache__", ".pytest_cache")]
            found += [os.path.relpath(os.path.join(folder, name), root) for name in names if name.endswith(endings)]
    if not found:
        sys.exit(f"no {' or '.join(endings)} file below {root}: nothing was checked")
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as text:
        return text.read()


def blank_noise(text):
    """Comments and literals become spaces; line numbers stay."""
    return _NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def finish(problems, checked):
    for problem in problems:
        print(problem)
    print(f"{checked} files checked, {len(problems)} problems")
    sys.exit(1 if problems else 0)
