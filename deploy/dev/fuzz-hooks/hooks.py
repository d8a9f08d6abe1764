"""What calls of the fuzz need to reach beyond the first refusal, given to some of them.

- Each call comes from another address: calls without a key are limited by address, and the limit is not what is tested.
- Ids in paths of the main dialect are, half of the time, those of things that are there; not of plans, users and members, whose
  changes would shut out who calls.
- Forms of pages carry, mostly, the proof that the page was given to their browser, of nobody or of somebody signed in.
- The run's own key lives on: a call that would replace or revoke it is sent for a key that is there for that.

Redirects are answers here and are not followed.
"""
import ipaddress
import itertools
import json
import os
import random
import re
import urllib.parse
import urllib.request

import schemathesis

API = os.environ["SIGNPOST_FUZZ_API"]
KEY = os.environ["SIGNPOST_FUZZ_KEY"]
NETWORK = ipaddress.ip_network("198.18.0.0/15")
COUNT = itertools.count()
CHANCE = random.Random(1)
PASSWORD = "correct horse battery"
CALLBACK = "https://app.example/callback"
# Plans, users and members.
APART = ("/api/plan/", "/api/user/", "/api/member/")
PAGES = {"/login", "/login/{token}", "/logout", "/invitation/{token}", "/oauth/authorize"}


def address():
    return str(NETWORK[next(COUNT) % NETWORK.num_addresses])


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def ask(method, path, headers, body):
    request = urllib.request.Request(f"http://{API}{path}", body, {"X-Forwarded-For": address(), **headers}, method=method)
    try:
        return urllib.request.build_opener(Stay).open(request, timeout=30)
    except urllib.error.HTTPError as answer:
        return answer


def api(method, path, body=None):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = json.loads(ask(method, path, headers, json.dumps(body or {}).encode()).read())
    if answer["error"] != 0:
        raise RuntimeError(f"{path}: {answer}")
    return answer


class Browser:
    """Cookies, and the proof of a form, of somebody signed in or of nobody."""

    def __init__(self, login=None):
        self.cookies = {}
        self.show()
        if login:
            self.send("POST", "/login", {"login": login, "password": PASSWORD, "form": self.proof})
            self.show()

    def send(self, method, path, form=None):
        headers = {"Cookie": self.cookie(), "Content-Type": "application/x-www-form-urlencoded"}
        answer = ask(method, path, headers, urllib.parse.urlencode(form).encode() if form else None)
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, value = cookie.split(";")[0].split("=", 1)
            self.cookies[name] = value
        return answer.read().decode()

    def show(self):
        self.proof = re.search('name="form" value="([^"]+)"', self.send("GET", "/login"))[1]

    def cookie(self):
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


class Prepared:
    """Made once, before the first call."""

    def __init__(self):
        # The first there was.
        self.own_key = min(key["id"] for key in api("GET", "/api/keys?limit=500")["data"]["keys"])
        self.spare_keys = [api("POST", "/api/keys", {"name": "spare"})["id"] for _ in range(5)]
        name = f"fuzz{CHANCE.getrandbits(40)}{os.getpid()}"
        api("POST", "/api/user/add", {"username": name, "email": f"{name}@e.test", "password": PASSWORD})
        app = {"name": "Fuzz", "redirect_uris": [CALLBACK], "public": True}
        self.client = api("POST", "/api/oauth/client/add", app)["client_id"]
        challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        asked = {"response_type": "code", "client_id": self.client, "code_challenge": challenge, "code_challenge_method": "S256"}
        self.request = urllib.parse.urlencode(asked)
        self.invitation = api("POST", "/api/member/invite", {"email": f"guest-{name}@e.test", "role": "viewer"})["url"].rsplit("/", 1)[1]
        api("POST", "/api/bio/add", {"title": "Fuzz"})
        self.nobody, self.somebody = Browser(), Browser(name)


PREPARED = None


@schemathesis.hook
def before_call(context, case, kwargs):
    global PREPARED
    PREPARED = PREPARED or Prepared()
    kwargs["allow_redirects"] = False
    headers = {**(case.headers or {}), "X-Forwarded-For": address()}
    path, ids = case.path, case.path_parameters or {}
    if path.startswith("/api/") and not path.startswith(("/api/v1", "/api/v2", *APART)):
        for name in ids:
            if re.search("id$|^block_id$|^message$|^entry$", name) and CHANCE.random() < 0.5:
                ids[name] = CHANCE.choice([1, 1, 2, 3])
    is_own = str(ids.get("id")).strip() == str(PREPARED.own_key)
    if path.startswith("/api/key/") and (is_own or CHANCE.random() < 0.5):
        ids["id"] = CHANCE.choice(PREPARED.spare_keys)
    if path in PAGES:
        browser = CHANCE.choice([PREPARED.nobody, PREPARED.somebody])
        # Who is signed in here stays so.
        if path == "/logout" or path.startswith(("/login/", "/invitation/")):
            browser = PREPARED.nobody
        headers["Cookie"] = browser.cookie()
        if path == "/invitation/{token}" and CHANCE.random() < 0.5:
            ids["token"] = PREPARED.invitation
        if isinstance(case.body, dict) and CHANCE.random() < 0.75:
            case.body["form"] = browser.proof
            if "request" in case.body and CHANCE.random() < 0.75:
                case.body["request"] = PREPARED.request
        if isinstance(case.query, dict) and "client_id" in case.query and CHANCE.random() < 0.5:
            case.query["client_id"] = PREPARED.client
    if ids:
        case.path_parameters = ids
    case.headers = headers
