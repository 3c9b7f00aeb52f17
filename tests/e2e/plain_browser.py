"""A browser without JavaScript, as small as the tests need: cookies by host, redirects, forms found by their labels."""
import html.parser
import urllib.parse

REDIRECTS_MAX = 10
SAFE = ("GET", "HEAD")


class Form:
    def __init__(self, attributes):
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").upper()
        self.values = {}   # what would be sent, by name
        self.radios = {}   # name -> values to choose from
        self.buttons = []  # (text, name, value)
        self.labels = {}   # label text -> name


class Page(html.parser.HTMLParser):
    """What a page holds: forms, links, images, and all its text."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.links, self.images = [], [], []
        self.text = ""
        self._form = self._label = self._button = None
        self._by_id, self._pending_labels, self._skip = {}, [], False
        self.feed(text)
        for form, target, words in self._pending_labels:
            if target in self._by_id:
                form.labels[words] = self._by_id[target]

    def handle_starttag(self, tag, attributes):
        at = dict(attributes)
        if tag == "form":
            self._form = Form(at)
            self.forms.append(self._form)
        elif tag == "a" and "href" in at:
            self.links.append(at["href"])
        elif tag == "img":
            self.images.append(at.get("src", ""))
        elif tag == "link" and "icon" in at.get("rel", ""):
            self.images.append(at.get("href", ""))
        elif tag == "label":
            self._label = [at.get("for"), ""]
        elif tag == "input" and self._form:
            self._input(at)
        elif tag == "button" and self._form:
            self._button = ["", at.get("name"), at.get("value", "")]
        self._skip = tag in ("script", "style")

    def _input(self, at):
        name, kind = at.get("name"), at.get("type", "text")
        if at.get("id"):
            self._by_id[at["id"]] = name
        if self._label and not self._label[0] and name:
            self._form.labels[self._label[1].strip()] = name
        if kind == "radio":
            self._form.radios.setdefault(name, []).append(at.get("value", "on"))
            if "checked" in at:
                self._form.values[name] = at.get("value", "on")
        elif kind == "submit":
            self._form.buttons.append((at.get("value", ""), name, at.get("value", "")))
        elif kind != "checkbox" and name:
            self._form.values[name] = at.get("value", "")

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None
        elif tag == "label" and self._label:
            if self._form and self._label[0]:
                self._pending_labels.append((self._form, self._label[0], self._label[1].strip()))
            self._label = None
        elif tag == "button" and self._button and self._form:
            self._form.buttons.append((" ".join(self._button[0].split()), self._button[1], self._button[2]))
            self._button = None
        elif tag in ("script", "style"):
            self._skip = False

    def handle_data(self, data):
        if self._skip:
            return
        self.text += data
        if self._label:
            self._label[1] += data
        if self._button:
            self._button[0] += data


class PlainBrowser:
    def __init__(self, stack):
        self.stack = stack
        self.cookies = {}  # host -> {name: value}
        self.url = None
        self.answer = None
        self.page = None
        self.trail = []  # (method, url, status) of every step of the last act

    def open(self, url, method="GET", body=None, fields=None):
        self.trail = []
        before = self.url
        for _ in range(REDIRECTS_MAX):
            answer = self._ask(url, method, body, fields, before)
            self.trail.append((method, url, answer.status))
            if answer.status not in (301, 302, 303, 307, 308):
                break
            before = url
            url = urllib.parse.urljoin(url, answer.field("Location"))
            if answer.status in (301, 302, 303):
                method, body, fields = "GET", None, None
        else:
            raise AssertionError(f"more than {REDIRECTS_MAX} redirects: {self.trail}")
        self.url, self.answer = url, answer
        kind = answer.field("Content-Type") or ""
        self.page = Page(answer.text()) if kind.startswith("text/html") else None
        return answer

    def _ask(self, url, method, body, fields, before):
        split = urllib.parse.urlsplit(url)
        assert split.scheme == "https" and split.port == self.stack.https_port, url
        fields = dict(fields or {}, Accept="text/html,*/*;q=0.8")
        fields["Sec-Fetch-Mode"], fields["Sec-Fetch-Dest"] = "navigate", "document"
        fields["Sec-Fetch-Site"] = self._site(split.hostname, before)
        if method not in SAFE:
            was = urllib.parse.urlsplit(before)
            fields["Origin"] = f"{was.scheme}://{was.netloc}"
        jar = self.cookies.setdefault(split.hostname, {})
        if jar:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        path = urllib.parse.urlunsplit(("", "", split.path or "/", split.query, ""))
        answer = self.stack.request(split.hostname, path, method, body=body, fields=fields, token=False)
        for line in answer.all_fields("Set-Cookie"):
            pair, _, attributes = line.partition(";")
            name, _, value = pair.strip().partition("=")
            if "max-age=0" in attributes.lower().replace(" ", ""):
                jar.pop(name, None)
            else:
                jar[name] = value
        return answer

    @staticmethod
    def _site(host, before):
        if before is None:
            return "none"
        was = urllib.parse.urlsplit(before).hostname
        return "same-origin" if was == host else "cross-site"

    def form_with(self, label=None, button=None):
        for form in self.page.forms:
            if (label is None or label in form.labels) and (button is None or any(button in words[0] for words in form.buttons)):
                return form
        raise AssertionError(f"no form with {label or button} on {self.url}:\n{self.page.text}")

    def submit(self, form, by_label=None, button=None, **by_name):
        values = dict(form.values, **by_name)
        for label, value in (by_label or {}).items():
            values[form.labels[label]] = value
        if button:
            pressed = next(words for words in form.buttons if words[0] == button)
            if pressed[1]:
                values[pressed[1]] = pressed[2]
        url = urllib.parse.urljoin(self.url, form.action)
        data = urllib.parse.urlencode(values)
        if form.method == "GET":
            return self.open(urllib.parse.urljoin(url, "?" + data))
        return self.open(url, "POST", data.encode(), {"Content-Type": "application/x-www-form-urlencoded"})

    # --- the portal's own acts ---

    def sign_in(self, user=None, password=None):
        env = self.stack.env
        self.open(env["PORTAL_URL"] + "/sign-in")
        form = self.form_with("User name")
        return self.submit(form, {"User name": user or env["ADMIN_USER"], "Password": password or env["ADMIN_PASSWORD"]})

    def connect(self, device):
        """List, radio, Connect, and what follows up to the device's own page."""
        self.open(self.stack.env["PORTAL_URL"] + "/devices")
        form = next(form for form in self.page.forms if "device" in form.radios)
        assert device in form.radios["device"], form.radios
        self.submit(form, button="Connect", device=device)
        return self.follow_hand_off()

    def follow_hand_off(self):
        """Without JavaScript the ticket goes by one press on Continue."""
        if self.page and any("Continue" in words[0] for form in self.page.forms for words in form.buttons):
            self.submit(self.form_with(button="Continue"), button="Continue")
        return self.answer
