#!/usr/bin/env python3
"""The status page in a real browser: Debian's Chromium, driven by Playwright (tests/tools installs both).

usage: target/tools/page/bin/python tests/page.py [--picture]

Runs files against the simulator, some with names, addresses and codes that would like to be markup, renders the page with
`dropcollect status --web`, and opens it: as it is, in three sizes and both themes, and with a hostile text in every field of its state. Its figures
must be those of the manifests and of the error lists; nothing may be asked for, run, or said on the console; a keyboard must be enough; axe-core must
find nothing. The pictures go to target/page; `--picture` also renews the one of the README.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BINARY = TARGET / "debug/dropcollect"
WORK = TARGET / "page"
CHROMIUM = shutil.which("chromium")
SIZES = [(390, 844), (820, 1180), (1440, 900)]
THEMES = ["light", "dark"]
SECONDS_MAX = 120

# What the page is made of; anything else came in from outside.
ELEMENTS = set(
    "html head meta title style body header h1 h2 h3 p time main section dl div dt dd data table caption thead tbody tr th td span bdi code svg "
    "rect figure details summary ol ul li a strong q footer".split()
)
ATTRIBUTES = set(
    "lang charset http-equiv content name datetime class id aria-labelledby aria-label aria-hidden role tabindex scope value viewBox width height x y "
    "preserveAspectRatio focusable open href".split()
)
HOSTILE = [
    "<script>document.title='run'</script>",
    "\"><img src=x onerror=\"document.title='run'\">",
    "' onmouseover='document.title=1' autofocus onfocus='alert(1)",
    "javascript:document.title='run'",
    "</style><style>body{display:none}</style>",
    "</title></head><base href=//evil.example><meta http-equiv=refresh content=0;url=//evil.example>",
    "</bdi></code></td></table></details><form action=//evil.example><input autofocus></form>",
    "<svg onload=alert(1)><iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "\u202egpj.exe\u2066\u200b\u0007\x1b[2J\ufeff",
    "&lt;b&gt; {{7*7}} ${7*7} <!-- ]]> \\u003cscript\\u003e",
]


def main():
    if CHROMIUM is None:
        sys.exit("there is no chromium: tests/tools installs it")
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    calm, rough = runs("calm", CALM, "day=700,month=20000"), runs("rough", ROUGH, "day=5000,c_collect1.month=9000")
    # Whoever pauses says why; what is run then waits.
    dropcollect("pause", "--data", rough, "--reason", HOSTILE[1], status={0})
    write(rough, "waits <b>.txt", "https://waits.example/1\n")
    run(rough, ["waits <b>.txt"], "", {4})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            print(f"Chromium {browser.version}")
            pictures(browser, web(calm))
            figures(browser, calm)
            figures(browser, rough)
            keyboard(browser, web(calm))
            policy(browser, web(calm))
            for folder in (calm, rough):
                accessible(browser, web(folder))
            injection(browser, rough)
        finally:
            browser.close()
    print("the status page is what it should be")


# ---- runs

CALM = {
    "prices-2026-11.ndjson": "".join(json.dumps({"url": f"https://prices.example/item/{n}"}) + "\n" for n in range(140)),
    "hotels/paris.txt": "".join(f"https://hotels.example/{'dead' if n in (5, 6) else 'item'}/{n}\n" for n in range(40)),
    "broken.csv": "url,url\nhttps://a.example,b\n",
    "shop.csv": "url,sku\n" + "".join(f"https://{host}.example/{kind}/{n},{n}\n" for n in range(90) for host, kind in [
        (["shop", "market", "outlet"][n % 3], "dead" if n % 17 == 3 else "flaky" if n % 11 == 5 else "quiet" if n % 29 == 7 else "item")]),
    "next.txt": "".join(f"https://next.example/item/{n}\n" for n in range(600)),
}
ROUGH = {
    "\"><img src=x onerror=alert(1)>.ndjson": "".join(
        json.dumps({"url": f"https://\"><svg onload=alert({n % 10})>.example/{'dead' if n % 2 else 'item'}/{n}", "<b>": "</script>"}) + "\n" for n in range(30)),
    "a\u202egpj.exe.txt": "".join(f"https://x.example/{'dead' if n % 3 == 0 else 'item'}/{n}\n" for n in range(12)),
    "\"><script>alert(1)<": "not an input file",
    "</style>.csv": "<script>alert(2)</script>,<script>alert(2)</script>\n1,2\n",
}


def write(folder, name, text):
    # A key has segments, a file name must not.
    path = folder.parent / "files" / folder.name / name.replace("/", "∕")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def runs(name, files, limits):
    folder = WORK / name
    for file, text in files.items():
        write(folder, file, text)
    # One after the other, because a file that waits for a limit has to be the last.
    for file in files:
        run(folder, [file], limits, {0, 1, 2, 4})
    return folder


def run(folder, files, limits, status):
    paths = [write_path(folder, file) for file in files]
    scenario = ROOT / "tests/scenarios/page.toml"
    dropcollect("run", "--simulate", "--scenario", scenario, "--data", folder, "--collector", "c_collect1", *paths, status=status,
                env={"BATCH_INPUTS_MAX": "20", "SPENDING_LIMITS": limits})


def write_path(folder, name):
    return folder.parent / "files" / folder.name / name.replace("/", "∕")


def dropcollect(*arguments, status, env=None):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS_MAX, env={**os.environ, **(env or {})})
    expect(done.returncode in status, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def web(folder):
    """Renders the page; gives its address."""
    address = dropcollect("status", "--web", folder, status={0}).strip()
    expect(Path(unquote(urlsplit(address).path)) == folder / "status/index.html", f"the page is at {address}")
    return address


# ---- the browser

class Tab:
    """A page that may neither ask for anything nor complain."""

    def __init__(self, browser, address, size=SIZES[2], theme="light"):
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
        self.page = self.context.new_page()
        self.said = []
        self.page.on("console", lambda message: self.said.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.said.append(f"request: {request.url}") if request.url != address else None)
        self.page.add_init_script("window.violations = []; addEventListener('securitypolicyviolation', event => violations.push(event.blockedURI + ' ' + event.violatedDirective))")
        self.page.goto(address)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            expect(not self.said and not self.page.evaluate("violations"), f"{self.said} {self.page.evaluate('violations')}")
        self.context.close()

    def open_all(self):
        self.page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")


def pictures(browser, address):
    for width, height in SIZES:
        for theme in THEMES:
            with Tab(browser, address, (width, height), theme) as tab:
                wide = tab.page.evaluate("document.documentElement.scrollWidth")
                expect(wide <= width, f"the page is {wide} wide in a window of {width}")
                background = tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
                expect((sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (theme == "light"), f"{theme} is {background}")
                picture = WORK / f"{width}-{theme}.png"
                tab.page.screenshot(path=picture, full_page=True)
                print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} kB")
                tab.open_all()
                expect(tab.page.evaluate("document.documentElement.scrollWidth") <= width, "opened runs are wider than the window")
    if "--picture" in sys.argv:
        # The run with most to show, in a window that is short enough for a page of text.
        with Tab(browser, address, (1000, 1560)) as tab:
            tab.page.evaluate("document.querySelectorAll('details.run').forEach((run, at, all) => run.open = at == 1)")
            tab.page.evaluate("scrollTo(0, 0)")
            tab.page.screenshot(path=ROOT / "docs/pictures/status-page.png")


def figures(browser, folder):
    """Every figure of the page is that of the manifest, the codes and hosts those of the error list, the limits those of the book."""
    manifests = [json.loads(path.read_text()) for path in folder.glob("output/**/manifest.json")]
    expect(len(manifests) >= 3, f"{len(manifests)} manifests")
    with Tab(browser, web(folder)) as tab:
        told = tab.page.evaluate("""() => Object.fromEntries([...document.querySelectorAll('details.run')].map(run => [run.dataset.run, {
            state: run.dataset.state,
            figures: Object.fromEntries([...run.querySelectorAll('data')].map(data => [data.dataset.figure, [+data.value, +data.textContent.replaceAll(',', '')]])),
            code: Object.fromEntries([...run.querySelectorAll('[data-name]')].filter(cell => cell.firstChild.dataset.figure == 'code').map(cell => [cell.dataset.name, +cell.firstChild.value])),
            host: Object.fromEntries([...run.querySelectorAll('[data-name]')].filter(cell => cell.firstChild.dataset.figure == 'host').map(cell => [cell.dataset.name, +cell.firstChild.value])),
            again: Object.fromEntries([...run.querySelectorAll('[data-name]')].filter(cell => cell.firstChild.dataset.figure == 'again').map(cell => [cell.dataset.name, +cell.firstChild.value])),
            bars: run.querySelectorAll('.line tbody tr').length,
            pace: run.querySelector('.columns')?.getAttribute('aria-label') ?? '',
            progress: run.querySelector('.progress').getAttribute('aria-label'),
            links: [...run.querySelectorAll('.files a')].map(link => link.href),
        }]))""")
        sums = tab.page.evaluate("Object.fromEntries([...document.querySelectorAll('.tiles data')].map(data => [data.dataset.figure, +data.value]))")
        limits = tab.page.evaluate("Object.fromEntries([...document.querySelectorAll('[data-limit]')].map(row => [row.dataset.limit, [...row.querySelectorAll('data')].map(data => +data.value)]))")
    for manifest in manifests:
        shown, inputs, spent = told[manifest["run"]], manifest["inputs"], manifest["spent"]
        expected = {**{name: count for name, count in inputs.items() if count or name in ("read", "with_records", "failed")},
                    "records": manifest["records"], "collections": spent["collections"], "page_loads": spent["page_loads"],
                    "triggered": spent["inputs"], "for_nothing": spent["for_nothing"]}
        for name, count in expected.items():
            equal(f"{manifest['input']['key']}: {name}", shown["figures"].get(name), [count, count])
        errors = []
        if manifest.get("failed"):
            lines = (folder / manifest["failed"]["errors"]).read_text().splitlines()
            errors = [error for error in map(json.loads, lines) if "row" not in error]
        equal("codes", shown["code"], dict(Counter(error["code"] for error in errors)))
        hosts = Counter(re.match(r"https://([^/]*)", error["input"]["url"])[1] for error in errors)
        equal("hosts", shown["host"], dict(hosts))
        equal("again", shown["again"], spent.get("again", {}))
        equal("collections on the time line", shown["bars"], min(40, len(manifest["collections"])))
        if manifest["records"]:
            expect(f"{manifest['records']} records in all" in shown["pace"], shown["pace"])
        expect("% of" in shown["progress"], shown["progress"])
        named = [manifest_key(folder, manifest)] + [manifest.get("failed", {}).get(name) for name in ("key", "errors")] + [output["key"] for output in manifest["outputs"][:20]]
        equal("links", {unquote(urlsplit(link).path) for link in shown["links"]}, {str(folder / key) for key in named if key})
        for link in shown["links"]:
            expect(Path(unquote(urlsplit(link).path)).is_file(), f"{link} leads nowhere")
    for name, count in [("with_records", lambda run: run["inputs"]["with_records"]), ("failed", lambda run: run["inputs"]["failed"]), ("records", lambda run: run["records"]),
                        ("page_loads", lambda run: run["spent"]["page_loads"]), ("for_nothing", lambda run: run["spent"]["for_nothing"])]:
        open_ones = sum(shown["figures"][name][0] for run, shown in told.items() if run not in {manifest["run"] for manifest in manifests})
        equal(name, sums[name], sum(map(count, manifests)) + open_ones)
    equal("runs under way", sums["open"], len(told) - len(manifests))
    book = json.loads((folder / "control/spending.json").read_text())
    equal("limits", {name: row[2] for name, row in limits.items()}, book["limits"])
    equal("spent", {name: row[0] for name, row in limits.items()}, {name: book["paid"].get(name, 0) for name in book["limits"]})
    print(f"{folder.name}: figures of {len(manifests)} manifests, {len(told)} runs, {len(limits)} limits")


def manifest_key(folder, manifest):
    return str(next(folder.glob(f"output/**/{manifest['run']}/manifest.json")).relative_to(folder))


def keyboard(browser, address):
    with Tab(browser, address) as tab:
        where = "document.activeElement.tagName == 'SUMMARY' && [...document.querySelectorAll('summary')].indexOf(document.activeElement) == 1"
        for _ in range(200):
            tab.page.keyboard.press("Tab")
            if tab.page.evaluate(where):
                break
        else:
            sys.exit("the second run is not reached by the keyboard")
        is_open = lambda: tab.page.evaluate("document.querySelectorAll('details.run')[1].open")  # noqa: E731
        outline = tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        expect(outline == "solid", "where the keyboard is cannot be seen")
        for key, expected in [("Enter", True), ("Enter", False), (" ", True), ("Space", False)]:
            tab.page.keyboard.press("Space" if key == " " else key)
            equal(f"open after {key}", is_open(), expected)
        tab.page.locator("summary").nth(1).click()
        equal("open after a click", is_open(), True)
        expect(tab.page.locator("details.run").nth(1).locator("table").first.is_visible(), "what is opened cannot be seen")


def policy(browser, address):
    """What gets into the page all the same can do nothing."""
    tab = Tab(browser, address)
    tab.page.evaluate("""() => {
        const script = document.createElement('script'); script.textContent = 'window.ran = true'; document.body.append(script);
        const image = document.createElement('img'); image.setAttribute('onerror', 'window.ran = true'); image.src = 'x.png'; document.body.append(image);
        const style = document.createElement('style'); style.textContent = 'body { color: rgb(1, 2, 3) }'; document.body.append(style);
        const base = document.createElement('base'); base.href = 'https://evil.example/'; document.head.append(base);
    }""")
    tab.page.wait_for_timeout(300)
    equal("scripts that ran", tab.page.evaluate("window.ran ?? null"), None)
    expect(tab.page.evaluate("getComputedStyle(document.body).color") != "rgb(1, 2, 3)", "a style was taken")
    expect(not tab.page.evaluate("document.baseURI").startswith("https://evil"), "a base was taken")
    blocked = {violation.split()[-1].replace("-elem", "").replace("-attr", "") for violation in tab.page.evaluate("violations")}
    equal("blocked", blocked, {"script-src", "img-src", "style-src", "base-uri"})
    tab.context.close()


def accessible(browser, address):
    for size in (SIZES[0], SIZES[2]):
        for theme in THEMES:
            with Tab(browser, address, size, theme) as tab:
                tab.open_all()
                found = Axe().run(tab.page)
                broken = [f"{one['id']}: {node['html'][:200]}" for one in found.response["violations"] for node in one["nodes"]]
                expect(not broken, f"{size} {theme}: " + "\n".join(broken[:10]))
                expect(len(found.response["passes"]) > 15, "axe-core has looked at little")


def injection(browser, folder):
    """Every text of the page's state, whoever it comes from, is hostile."""
    copy = WORK / "injected"
    shutil.copytree(folder, copy)
    marks = []

    def hostile(text):
        marks.append(f"§{len(marks)}§")
        return f"{marks[-1]} {HOSTILE[len(marks) % len(HOSTILE)]}"

    def spoil(value, keep):
        if isinstance(value, dict):
            maps = {"codes", "hosts", "again", "limits", "paid"}
            return {name: {hostile(key): count for key, count in inner.items()} if name in maps else inner if name in keep else spoil(inner, keep)
                    for name, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner, keep) for inner in value]
        is_time = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", value)
        return hostile(value) if isinstance(value, str) and not is_time else value

    # Words that the program itself chooses from a list.
    page = spoil(json.loads((copy / "control/page.json").read_text()), {"run", "state"})
    for shown in page["shown"]:
        # Newer than what the bucket knows of a run that goes on, so that it stays.
        if "manifest" not in shown["status"]:
            shown["status"]["updated_at"] = "2100-01-01T00:00:00Z"
    unseen = {"bucket", "version_id", "etag"}
    hidden = {mark for shown in page["shown"] for name, text in shown["status"]["input"].items() if name in unseen for mark in re.findall(r"§\d+§", text)}
    (copy / "control/page.json").write_text(json.dumps(page))
    pause = spoil(json.loads((copy / "control/pause.json").read_text()), set())
    (copy / "control/pause.json").write_text(json.dumps(pause))
    book = json.loads((copy / "control/spending.json").read_text())
    book["limits"] = {f"{hostile('')}.{per}": 5 for per in ("day", "month")}
    book["day"] = hostile("")
    (copy / "control/spending.json").write_text(json.dumps(book))
    expect(len(marks) > 60, f"{len(marks)} texts")

    address = web(copy)
    with Tab(browser, address) as tab:
        tab.open_all()
        tab.page.wait_for_timeout(500)
        elements, attributes = tab.page.evaluate("""() => { const all = [...document.querySelectorAll('*')];
            return [[...new Set(all.map(one => one.localName))], [...new Set(all.flatMap(one => one.getAttributeNames()))]] }""")
        expect(set(elements) <= ELEMENTS, f"elements that are none of the page: {set(elements) - ELEMENTS}")
        strange = {name for name in attributes if name not in ATTRIBUTES and not name.startswith("data-")}
        expect(not strange, f"attributes that are none of the page: {strange}")
        title, runs, links = tab.page.evaluate("[document.title, document.querySelectorAll('details.run').length, [...document.querySelectorAll('a')].map(link => link.href)]")
        expect(title.startswith("dropcollect: "), title)
        equal("runs", runs, len(page["shown"]))
        outside = [link for link in links if not link.startswith(copy.as_uri() + "/")]
        expect(not outside, f"links that lead elsewhere: {outside}")
        text = tab.page.evaluate("document.body.textContent")
        missing = [mark for mark in marks if mark not in text and mark not in hidden]
        expect(not missing, f"texts that are not shown: {missing}")
        invisible = re.findall(r"[\u0000-\u0008\u000e-\u001f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", text)
        expect(not invisible, f"characters that hide something: {invisible}")
        wide = tab.page.evaluate("document.documentElement.scrollWidth")
        expect(wide <= SIZES[2][0], f"hostile texts make the page {wide} wide")
    with Tab(browser, address, SIZES[0], "dark") as tab:
        tab.open_all()
        wide = tab.page.evaluate("document.documentElement.scrollWidth")
        expect(wide <= SIZES[0][0], f"hostile texts make the page {wide} wide on a phone")
        tab.page.screenshot(path=WORK / "injected.png", full_page=True)
    print(f"{len(marks)} hostile texts are shown, and do nothing")


def equal(what, found, expected):
    expect(found == expected, f"{what}: {found}, expected {expected}")


def expect(holds, why):
    if not holds:
        sys.exit(f"tests/page.py: {why}")


if __name__ == "__main__":
    main()
