"""Each lint check is shown a tree with one planted violation and must find it, and a clean tree and must pass.

A checker that skips in silence is worse than none.   usage: pytest selftest.py
"""
import os
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")

CLEAN = '/* wire/clean.c */\n#include "wire/clean.h"\n\n#include <string.h>\n\nint clean(void)\n{\n    return 0;\n}\n'
HEADER = "int clean(void);\n"


def plant(root, path, text, mode=0o644):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(full, mode)


@pytest.fixture
def tree(tmp_path):
    root = str(tmp_path)
    plant(root, "wire/clean.c", CLEAN)
    plant(root, "wire/clean.h", HEADER)
    plant(root, "runtime/empty.h", HEADER)
    plant(root, "clean.sh", "#!/bin/sh\necho fine\n", 0o755)
    for file in (".clang-format", ".clang-tidy"):
        shutil.copy(os.path.join(ROOT, file), root)
    return root


def check(name, *arguments):
    done = subprocess.run([os.path.join(HERE, name), *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["includes", "banned", "sizes", "format", "shell"])
def test_a_clean_tree_passes(tree, name):
    code, output = check(name, tree)
    assert code == 0, output


@pytest.mark.parametrize("name", ["includes", "banned", "sizes", "format", "shell"])
def test_an_empty_tree_fails(tmp_path, name):
    code, output = check(name, str(tmp_path))
    assert code != 0 and "nothing was checked" in output


@pytest.mark.parametrize("path, line, reason", [
    ("wire/bad.c", '#include "runtime/log.h"', "wire/ may not include runtime/"),
    ("wire/bad.c", "#include <sys/socket.h>", "wire/ is pure"),
    ("wire/bad.h", "#include <time.h>", "wire/ is pure"),
    ("runtime/bad.c", '#include "wire/session.h"', "runtime/ may not include wire/"),
    ("bridge/bad.c", '#include "device-agent/relay/peer.h"', "bridge/ may not include device-agent/"),
    ("device-agent/bad.c", '#include "bridge/store.h"', "device-agent/ may not include bridge/"),
    ("ctl/bad.c", '#include "wire/session.h"', "ctl/ may not include wire/"),
    ("broker-config/bad.c", '#include "runtime/log.h"', "broker-config/ may not include runtime/"),
    ("bridge/bad.c", '#include "../wire/session.h"', "by their path from the root"),
    ("bridge/bad.c", '#include "store.h"', "by their path from the root"),
    ("bridge/bad.c", "#include <sqlite3.h>", "only bridge/store_*.c"),
    ("bridge/bad.c", "#include <microhttpd.h>", "only runtime/httpd*.c"),
    ("device-agent/bad.c", "#include <openssl/ssl.h>", "only runtime/crypto.c"),
    ("device-agent/agent.c", "  #  include <curl/curl.h>", "only device-agent/register/register_http.c"),
    ("runtime/bad.c", "#include <event2/event.h>", "unknown third-party header"),
])
def test_a_wrong_include_is_found(tree, path, line, reason):
    plant(tree, path, f"/* first */\n{line}\n")
    code, output = check("includes", tree)
    assert code == 1 and f"{path}:2:" in output and reason in output


@pytest.mark.parametrize("call", ["strcpy(a, b)", "sprintf (a, b)", "atoi(a)", "gets(a)", "system(a)", "popen(a, b)",
                                  "rand()", "strtok(a, b)", "strcat(a, b)"])
def test_a_banned_function_is_found(tree, call):
    plant(tree, "bridge/bad.c", f"/* strcpy(in, comment) */\nvoid f(void)\n{{\n    {call};\n}}\n")
    code, output = check("banned", tree)
    assert code == 1 and "bridge/bad.c:4:" in output and "1 problems" in output


def test_words_that_only_look_banned_are_not(tree):
    plant(tree, "bridge/good.c", 'void f(void)\n{\n    my_system(x); say("system(1)"); o->rand(); snprintf(a, 1, b);\n}\n')
    code, output = check("banned", tree)
    assert code == 0, output


def test_a_function_of_81_lines_is_found_and_one_of_80_is_not(tree):
    body = "    step();\n"
    plant(tree, "bridge/long.c", f"static int just_right(int a,\n    int b)\n{{\n{body * 80}}}\n")
    code, output = check("sizes", tree)
    assert code == 0, output
    plant(tree, "bridge/long.c", f"static int too_long(int a,\n    int b)\n{{\n{body * 81}}}\n")
    code, output = check("sizes", tree)
    assert code == 1 and "bridge/long.c:1: bridge/long.c:too_long has 81 lines" in output


def test_a_file_of_801_lines_is_found(tree):
    plant(tree, "bridge/long.c", "int x;\n" * 801)
    code, output = check("sizes", tree)
    assert code == 1 and "bridge/long.c has 801 lines" in output


def test_an_exception_holds_only_what_is_needed(tree):
    plant(tree, "bridge/long.c", "int x;\n" * 810)
    plant(tree, "tests/lint/sizes.txt", "bridge/long.c 810 # why\n")
    assert check("sizes", tree)[0] == 0
    plant(tree, "tests/lint/sizes.txt", "bridge/long.c 900\n")
    code, output = check("sizes", tree)
    assert code == 1 and "needs 810, not 900" in output
    plant(tree, "tests/lint/sizes.txt", "bridge/long.c 810\nbridge/gone.c 900\n")
    code, output = check("sizes", tree)
    assert code == 1 and "bridge/gone.c needs no exception" in output


def test_bad_format_is_found(tree):
    plant(tree, "bridge/bad.c", "int f( void ){return 0;}\n")
    code, output = check("format", tree)
    assert code != 0 and "bridge/bad.c" in output


@pytest.mark.parametrize("path", ["tools.sh", "tool"])
def test_a_bad_shell_script_is_found(tree, path):
    plant(tree, path, "#!/bin/bash\ncd $1\nrm -rf $2/*\n", 0o755)
    code, output = check("shell", tree)
    assert code != 0 and path in output


def plant_build(tmp_path, text):
    """A file below our own root is needed: tidy looks at nothing else. The build folder is as good a place as any."""
    source = os.path.join(os.path.abspath(ROOT), "build", f"planted-{os.getpid()}.c")
    os.makedirs(os.path.dirname(source), exist_ok=True)
    with open(source, "w", encoding="utf-8") as out:
        out.write(text)
    with open(tmp_path / "compile_commands.json", "w", encoding="utf-8") as database:
        database.write('[{"directory": "%s", "command": "clang -c %s -o /dev/null", "file": "%s"}]'
                       % (tmp_path, source, source))
    return source


@pytest.mark.parametrize("text, reason", [
    ("int f(int *p);\nint f(int *p)\n{\n    if (!p)\n        return *p;\n    return 0;\n}\n", "NullDereference"),
    ("int f(int n);\nint f(int n)\n{\n    return n ? f(n - 1) : 0;\n}\n", "misc-no-recursion"),
    ("int f(int n);\nint f(int n)\n{\n" + "    n++;\n" * 81 + "    return n;\n}\n", "readability-function-size"),
])
def test_tidy_finds_a_planted_flaw_and_remembers_only_clean_files(tmp_path, text, reason):
    source = plant_build(tmp_path, text)
    try:
        for _ in range(2):
            code, output = check("tidy", str(tmp_path))
            assert code != 0 and reason in output
        plant_build(tmp_path, "int f(void);\nint f(void)\n{\n    return 0;\n}\n")
        for _ in range(2):
            code, output = check("tidy", str(tmp_path))
            assert code == 0 and "1 files checked" in output, output
    finally:
        os.unlink(source)


def test_tidy_fails_when_there_is_nothing_to_check(tmp_path):
    code, output = check("tidy", str(tmp_path))
    assert code != 0 and "nothing was checked" in output


def test_cppcheck_finds_a_planted_flaw(tmp_path, tree):
    build = tmp_path / "build"
    build.mkdir()
    flaw = "void f(void)\n{\n    int a[2];\n    a[2] = 0;\n}\n"
    for text, expected in ((flaw, "arrayIndexOutOfBounds"), ("int f(void)\n{\n    return 0;\n}\n", None)):
        plant(tree, "wire/checked.c", text)
        file = os.path.join(tree, "wire", "checked.c")
        (build / "compile_commands.json").write_text(
            '[{"directory": "%s", "command": "cc -c %s", "file": "%s"}]' % (tree, file, file))
        code, output = check("cppcheck", str(build), tree)
        assert (code != 0 and expected in output) if expected else code == 0, output


def test_cppcheck_fails_when_there_is_nothing_to_check(tmp_path):
    (tmp_path / "compile_commands.json").write_text("[]")
    code, output = check("cppcheck", str(tmp_path), str(tmp_path))
    assert code != 0
