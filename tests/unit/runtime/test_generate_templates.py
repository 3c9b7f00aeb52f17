"""cmake/generate-templates refuses what could write a value unescaped or say nothing: each planted mistake ends the build."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
DATA = "{{data}}\n  name text\n  is_on flag\n  rows list\n    id text\n{{/data}}\n"
USE_ALL = "{{name}}{{#is_on}}x{{/is_on}}{{#rows}}{{id}}{{/rows}}"


class Generator(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        for name in ("templates", "static/vendor", "po"):
            (self.root / name).mkdir(parents=True)
        (self.root / "static/vendor/SHA256SUMS").write_text("")
        (self.root / "po/spoken-by-c.txt").write_text("")
        self.write_po({})

    def tearDown(self):
        self.folder.cleanup()

    def write_po(self, entries):
        text = "".join(f'msgid "{key}"\nmsgstr "{value}"\n' for key, value in entries.items())
        (self.root / "po/ja.po").write_text('msgid ""\nmsgstr ""\n' + text)

    def generate(self, template, data=DATA):
        (self.root / "templates/page.html").write_text(data + template)
        done = subprocess.run([sys.executable, SOURCE / "cmake/generate-templates", "--name", "portal", "--root", self.root,
                               "--out", self.root / "out"], capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr

    def assert_refused(self, template, because, data=DATA):
        status, errors = self.generate(template, data)
        self.assertEqual(status, 1, errors)
        self.assertIn(because, errors)

    def assert_written(self, template, *pieces):
        status, errors = self.generate(template)
        self.assertEqual(status, 0, errors)
        text = (self.root / "out/pages.c").read_text()
        for piece in pieces:
            self.assertIn(piece, text)

    def test_the_place_chooses_the_escape(self):
        self.assert_written(USE_ALL + '<a href="{{name}}" title="{{name}}">{{name}}</a>',
                            "html_url(out, page->name)", "html_attr(out, page->name)", "html_text(out, page->name)")
        self.assert_written(USE_ALL + '<a href="/devices/{{name}}?q={{name}}">x</a>', "html_url_part(out, page->name)")

    def test_there_is_no_way_to_write_raw(self):
        for raw in ("{{{name}}}", "{{& name}}", "{{raw name}}"):
            self.assert_refused(USE_ALL + raw, "not understood")

    def test_a_value_stands_only_where_it_can_be_escaped(self):
        self.assert_refused(USE_ALL + "<script>{{name}}</script>", "may not stand")
        self.assert_refused(USE_ALL + "<style>{{name}}</style>", "may not stand")
        self.assert_refused(USE_ALL + "<a {{name}}>x</a>", "may not stand")
        self.assert_refused(USE_ALL + "<a href={{name}}>x</a>", "may not stand")
        self.assert_refused(USE_ALL + '<a onclick="{{name}}">x</a>', "onclick")
        self.assert_refused(USE_ALL + '<a style="{{name}}">x</a>', "style")
        self.assert_refused(USE_ALL + '<iframe srcdoc="{{name}}"></iframe>', "srcdoc")
        self.assert_refused(USE_ALL + "<a title='{{name}}'>x</a>", "double quotes")
        self.assert_refused(USE_ALL + "<!-- {{name}} -->", "may not stand")
        self.assert_refused(USE_ALL + "<!-- x -->", "comments")

    def test_names_are_known_used_and_of_their_kind(self):
        self.assert_refused(USE_ALL + "{{nobody}}", "unknown name: nobody")
        self.assert_refused(USE_ALL + "{{id}}", "unknown name: id")
        self.assert_refused(USE_ALL + "{{is_on}}", "not a text")
        self.assert_refused("{{name}}{{#is_on}}x{{/is_on}}", "never used")

    def test_sections_close_where_they_opened(self):
        self.assert_refused(USE_ALL + "{{#is_on}}", "not closed")
        self.assert_refused(USE_ALL + "{{/is_on}}", "closes nothing")
        self.assert_refused(USE_ALL + "{{#is_on}}<a href=\"{{/is_on}}x\">y</a>", "another place")

    def test_a_message_needs_its_translation_with_the_same_names(self):
        self.assert_refused(USE_ALL + '{{t "Hello {name}"}}', "no translation")
        self.write_po({"Hello {name}": "こんにちは"})
        self.assert_refused(USE_ALL + '{{t "Hello {name}"}}', "other names")
        self.write_po({"Hello {name}": "{name} さん"})
        self.assert_written(USE_ALL + '{{t "Hello {name}"}}', "html_message(out, HTML_IN_TEXT")
        self.write_po({"Hello {name}": "{name} さん", "Old": "古い"})
        self.assert_refused(USE_ALL + '{{t "Hello {name}"}}', "nobody says")

    def test_a_vendored_file_is_what_was_vendored(self):
        (self.root / "static/vendor/SHA256SUMS").write_text("00 x.css\n")
        (self.root / "static/vendor/x.css").write_text("a{}")
        self.assert_refused(USE_ALL, "SHA256SUMS")

    def test_a_mistake_is_told_with_file_and_line(self):
        self.assert_refused(USE_ALL + "\n\n{{nobody}}", "portal/templates/page.html:")

    def test_an_asset_must_exist(self):
        self.assert_refused(USE_ALL + '<img src="{{asset "no.svg"}}">', "no such asset")


if __name__ == "__main__":
    unittest.main()
