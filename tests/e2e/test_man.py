"""The manual pages say what the programs say of themselves: every command, option, key, default and exit code."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SHUTPORT_STACK_BUILD", ROOT / "build" / "release"))
PROGRAMS = {"shutport.1": "ctl/shutport", "shutport-bridge.8": "bridge/shutport-bridge", "shutport-agent.8": "device-agent/shutport-agent"}
CONFIGURATIONS = {"shutport-bridge.conf.5": "bridge/shutport-bridge", "shutport-agent.conf.5": "device-agent/shutport-agent"}


def page(name):
    return (ROOT / "docs" / "man" / name).read_text(encoding="utf-8")


def say(program, *words):
    done = subprocess.run([BUILD / program, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name, program", PROGRAMS.items())
def test_a_page_has_the_options_commands_and_exit_codes_of_help_and_no_others(name, program):
    told, text = say(program, "--help"), page(name)
    options = set(re.findall(r"--([a-z][a-z-]+)", told))
    assert set(re.findall(r"Fl -([a-z][a-z-]+)", text)) >= options
    if name != "shutport-agent.8":  # `register` has a help of its own
        assert set(re.findall(r"Fl -([a-z][a-z-]+)", text)) == options
    listed = told.split("xit codes")[0]
    commands = set(re.findall(r"^  ([a-z]+(?: (?:add|rm|list|show|passwd))?) ", listed, re.M))
    commands |= set(re.findall(r"   ((?:user|token|grant|bridge|monitor) [a-z]+) ", listed))
    assert commands and commands <= set(re.findall(r"^\.It Cm ([a-z]+(?: [a-z]+)?)", text, re.M))
    codes = {int(code) for code in re.findall(r"(?<![\w.])(\d{1,2})(?= [a-z]|\s+[A-Zc])", told.split("xit codes")[1])}
    assert codes == {int(code) for code in re.findall(r"^\.It (\d+)$", text, re.M)}


@pytest.mark.parametrize("name, program", CONFIGURATIONS.items())
def test_a_page_has_the_keys_and_defaults_of_the_sample_and_no_others(name, program):
    sample = re.findall(r"^#\s+([a-z_]+) = (.*)$", say(program, "--sample-config"), re.M)
    must = re.findall(r"\(must be given\)\n#\s+([a-z_]+) =", say(program, "--sample-config"))
    expected = sorted((key, "" if key in must else value) for key, value in sample)
    assert len(expected) > 10
    told = re.findall(r"^\.It Ic ([a-z_]+)(?: No = (.*))?$", page(name), re.M)
    assert sorted((key, value.replace("\\(dq", '"')) for key, value in told) == expected
