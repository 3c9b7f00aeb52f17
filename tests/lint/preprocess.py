"""Print what the compiler sees of one file, as a build folder compiles it.   usage: preprocess.py DATABASE FILE"""
import json
import shlex
import subprocess
import sys

with open(sys.argv[1], encoding="utf-8") as database:
    entry = next(entry for entry in json.load(database) if entry["file"] == sys.argv[2])
words = entry.get("arguments") or shlex.split(entry["command"])
if "-o" in words:
    at = words.index("-o")
    del words[at:at + 2]
words = [word for word in words if word != "-c"]
sys.exit(subprocess.run([*words, "-E", "-C"], cwd=entry["directory"], stderr=subprocess.DEVNULL, check=False).returncode)
