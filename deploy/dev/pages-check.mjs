// Opens each page of the lists *.json in a folder (first argument) in headless Chromium, with no network at all: every request
// is answered here. Fails when a page complains in the console, asks a host that is not configured, breaks a rule of
// axe-core, cannot be used by the keyboard alone, or does not lead on, with and without JavaScript. Forms of the pages for
// people are filled in and sent by the keyboard, without JavaScript too. Vendors of pixels that never answer hold nobody up.
// Screenshots go beside the lists. Second argument: axe.min.js. Third: the name of the only page to check.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [folder, axeFile, only] = process.argv.slice(2);
const axe = readFileSync(axeFile, 'utf8');
const lists = readdirSync(folder).filter((name) => name.endsWith('.json'));
const all = lists.flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8'))).filter(Boolean);
const pages = all.filter((page) => !only || page.name === only);
const DEADLINE_MS = 10_000;
// How long a visitor waits for vendors that never answer: the page's own second, and what a busy machine adds.
const HELD_UP_MS = 2_500;
// An app that no browser here has.
const APP = 'shopapp:';
const DESTINATION = 'https://dest.test/page?a=1&b=2';

// What each vendor's code must ask for, and every host it may ask.
const VENDORS = {
  gtmpixel: /^https:\/\/www\.googletagmanager\.com\/gtm\.js\?id=gtmpixel-TAG%2F1$/,
  gapixel: /^https:\/\/www\.googletagmanager\.com\/gtag\/js\?id=gapixel-TAG%2F1$/,
  fbpixel: /^https:\/\/connect\.facebook\.net\/en_US\/fbevents\.js$/,
  adwordspixel: /^https:\/\/www\.googletagmanager\.com\/gtag\/js\?id=adwordspixel-TAG$/,
  linkedinpixel: /^https:\/\/snap\.licdn\.com\/li\.lms-analytics\/insight\.min\.js$/,
  twitterpixel: /^https:\/\/static\.ads-twitter\.com\/uwt\.js$/,
  adrollpixel: /^https:\/\/s\.adroll\.com\/j\/adrollpixel-TAG\/roundtrip\.js$/,
  quorapixel: /^https:\/\/a\.quora\.com\/qevents\.js$/,
  pinterest: /^https:\/\/s\.pinimg\.com\/ct\/core\.js$/,
  bing: /^https:\/\/bat\.bing\.com\/bat\.js$/,
  snapchat: /^https:\/\/sc-static\.net\/scevent\.min\.js$/,
  reddit: /^https:\/\/www\.redditstatic\.com\/ads\/pixel\.js$/,
  tiktok: /^https:\/\/analytics\.tiktok\.com\/i18n\/pixel\/events\.js\?sdkid=tiktok-TAG%2F1&lib=ttq$/,
};
// Images for browsers without JavaScript.
const IMAGES = {
  gtmpixel: 'www.googletagmanager.com', fbpixel: 'www.facebook.com', linkedinpixel: 'px.ads.linkedin.com',
  quorapixel: 'q.quora.com', pinterest: 'ct.pinterest.com', bing: 'bat.bing.com',
};

const profile = mkdtempSync(join(tmpdir(), 'pages-'));
const browser = spawn('chromium', [
  '--headless=new', '--remote-debugging-pipe', `--user-data-dir=${profile}`, '--no-first-run', '--disable-gpu',
  '--disable-dev-shm-usage', '--host-resolver-rules=MAP * ~NOTFOUND', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--mute-audio', 'about:blank',
  // Chromium refuses its sandbox to root.
  ...(process.getuid() === 0 ? ['--no-sandbox'] : []),
], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });

let nextId = 1;
const calls = new Map();
const listeners = new Set();
let pending = '';
browser.stdio[4].on('data', (data) => {
  pending += data.toString('utf8');
  for (let end; (end = pending.indexOf('\0')) >= 0; pending = pending.slice(end + 1)) {
    const message = JSON.parse(pending.slice(0, end));
    if (message.id) {
      const { resolve, reject } = calls.get(message.id);
      calls.delete(message.id);
      message.error ? reject(new Error(message.error.message)) : resolve(message.result);
    } else {
      for (const listener of listeners) listener(message);
    }
  }
});

function send(method, params = {}, sessionId) {
  const id = nextId++;
  browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
  return new Promise((resolve, reject) => calls.set(id, { resolve, reject }));
}

async function eventually(what, ask) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await ask())) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

// One tab on one page. `hold`: the page stays when it leads on. `silent`: nobody but the page's own host and the
// destination ever answers.
async function open(page, { hold = false, scripts = true, silent = false, width = 390, height = 844 } = {}) {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  const call = (method, params) => send(method, params, sessionId);
  const tab = { call, urls: [], complaints: [], left: false, loaded: false, url: `https://go.test/${page.name}` };
  const text = (body) => Buffer.from(body).toString('base64');
  const listener = ({ sessionId: from, method, params }) => {
    if (from !== sessionId) return;
    if (method === 'Fetch.requestPaused') answer(params).catch(() => {});
    if (method === 'Page.loadEventFired') tab.loaded = true;
    if (method === 'Runtime.exceptionThrown') tab.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Runtime.consoleAPICalled' && ['error', 'warning', 'assert'].includes(params.type)) tab.complaints.push(params.args.map((a) => a.value).join(' '));
    // The browser notes a page whose own status is an error, as an expired link's is.
    if (method === 'Log.entryAdded' && ['error', 'warning'].includes(params.entry.level) && !(params.entry.url === tab.url && params.entry.source === 'network') && !params.entry.text.includes(`'${APP}`)) tab.complaints.push(`${params.entry.text} ${params.entry.url ?? ''}`);
  };
  async function answer({ requestId, request, resourceType, frameId }) {
    const url = new URL(request.url);
    const reply = (type, body, more = []) => call('Fetch.fulfillRequest', {
      requestId, responseCode: 200, body: text(body),
      responseHeaders: [{ name: 'Content-Type', value: type }, { name: 'Access-Control-Allow-Origin', value: '*' }, ...more],
    });
    if (request.url === tab.url && request.method === 'GET') {
      return call('Fetch.fulfillRequest', {
        requestId, responseCode: page.status, body: text(page.html),
        responseHeaders: [{ name: 'Content-Type', value: 'text/html; charset=utf-8' }, { name: 'Content-Security-Policy', value: page.csp }],
      });
    }
    // A bio page's pictures are its own host's.
    if (url.host === 'go.test' && url.pathname.startsWith('/u/bio/picture')) return reply('image/svg+xml', PICTURE);
    if (url.pathname === '/favicon.ico') return reply('image/x-icon', '');
    if (request.method === 'POST' && url.origin === new URL(tab.url).origin && resourceType === 'Document') {
      tab.sent = { path: url.pathname, fields: Object.fromEntries(new URLSearchParams(request.postData)) };
      return call('Fetch.fulfillRequest', { requestId, responseCode: 204 });
    }
    if (url.host === 'dest.test' && resourceType === 'Document') {
      const top = frameId === tab.frame;
      if (top) {
        tab.left = Date.now();
        tab.destination = request.url;
        // "No content" leaves a browser where it is.
        if (hold) return call('Fetch.fulfillRequest', { requestId, responseCode: 204 });
      }
      return reply('text/html', '<!doctype html><html lang="en"><title>There</title><main><h1>There</h1></main>');
    }
    tab.urls.push(request.url);
    if (silent) return undefined;
    if (resourceType === 'Image') return reply('image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="360"><rect width="640" height="360" fill="#0a7"/></svg>');
    // Bing's code calls what its script defines.
    if (url.host === 'bat.bing.com') return reply('text/javascript', 'window.UET=function(){this.push=function(){}}');
    return reply(resourceType === 'Document' ? 'text/html' : 'text/javascript', '');
  }
  listeners.add(listener);
  tab.close = async () => {
    listeners.delete(listener);
    await send('Target.closeTarget', { targetId });
  };
  tab.frame = (await call('Page.getFrameTree')).frameTree.frame.id;
  await call('Page.enable');
  await call('Runtime.enable');
  await call('Log.enable');
  await call('Fetch.enable', { patterns: [{ urlPattern: '*' }] });
  await call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  if (!scripts) await call('Emulation.setScriptExecutionDisabled', { value: true });
  tab.evaluate = async (expression) => {
    const { result, exceptionDetails } = await call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  tab.press = async (key, code, text) => {
    await call('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', key, code: key, windowsVirtualKeyCode: code, text });
    await call('Input.dispatchKeyEvent', { type: 'keyUp', key, code: key, windowsVirtualKeyCode: code });
  };
  tab.shoot = async (name) => {
    const { cssContentSize } = await call('Page.getLayoutMetrics');
    // Bio pages are long: all of them.
    const whole = page.name.startsWith('bio-') ? { captureBeyondViewport: true, clip: { ...cssContentSize, scale: 1 } } : {};
    const { data } = await call('Page.captureScreenshot', { format: 'png', ...whole });
    writeFileSync(join(folder, `${name}.png`), Buffer.from(data, 'base64'));
  };
  // It is answered when the page has come, which is long before it has loaded.
  tab.started = Date.now();
  await call('Page.navigate', { url: tab.url });
  if (!silent) await eventually('the page loads', () => tab.loaded || tab.left);
  return tab;
}

const PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="360"><defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="#f59e0b"/><stop offset="1" stop-color="#be185d"/></linearGradient></defs><rect width="640" height="360" fill="url(#g)"/><circle cx="320" cy="180" r="90" fill="#fff8"/></svg>';
const hosts = (urls) => [...new Set(urls.map((url) => new URL(url).host))];
const problems = [];
const problem = (page, text) => problems.push(`${page.name}: ${text}`);

// Console, hosts, axe, screenshots.
async function looks(page) {
  for (const [shape, width, height] of [['phone', 390, 844], ['desktop', 1280, 800]]) {
    const tab = await open(page, { hold: true, width, height });
    await eventually('the vendors are asked', () => page.pixels.every((pixel) => tab.urls.some((url) => VENDORS[pixel].test(url)))).catch(() => problem(page, `not every pixel fires: ${tab.urls}`));
    const strange = tab.urls.filter((url) => !page.pixels.some((pixel) => VENDORS[pixel].test(url)) && !(page.name === 'splash-custom' && url === 'https://img.test/sale.png'));
    if (strange.length) problem(page, `asks ${strange}`);
    await tab.evaluate(axe);
    const rules = await tab.evaluate("axe.run(document,{resultTypes:['violations'],iframes:false}).then(r=>r.violations.map(v=>v.id+' '+v.nodes.map(n=>n.html).join(' ')))");
    for (const rule of rules) problem(page, `${shape}: axe ${rule}`);
    const wide = await tab.evaluate('document.documentElement.scrollWidth>innerWidth');
    if (wide) problem(page, `${shape}: wider than the screen`);
    await tab.shoot(`${page.name}-${shape}`);
    for (const complaint of tab.complaints) problem(page, `${shape}: console: ${complaint}`);
    await tab.close();
  }
}

// Tab reaches all that can be used, and it says where it is.
async function keyboard(page) {
  const tab = await open(page, { hold: true });
  const all = await tab.evaluate("[...document.querySelectorAll('a[href],button,input:not([type=hidden]):not([type=radio]),select,textarea,summary')].filter(e=>e.checkVisibility()).length");
  const reached = new Set();
  for (let n = 0; n < all + 4; n++) {
    await tab.press('Tab', 9);
    const at = await tab.evaluate("(()=>{const e=document.activeElement;if(!e||!e.matches('a[href],button,input:not([type=radio]),select,textarea,summary'))return null;const s=getComputedStyle(e);return [[...document.querySelectorAll('*')].indexOf(e),s.outlineStyle!=='none']})()");
    if (at) {
      reached.add(at[0]);
      if (!at[1]) problem(page, 'focus is not seen');
    }
  }
  if (reached.size !== all) problem(page, `Tab reaches ${reached.size} of ${all}`);
  if (page.name.startsWith('overlay')) {
    await tab.evaluate("document.querySelector('summary').focus()");
    await tab.press('Enter', 13, '\r');
    await eventually('Enter folds the overlay', () => tab.evaluate("!document.querySelector('details').open"));
  }
  if (page.name.startsWith('splash')) {
    if (await tab.evaluate("!!document.querySelector('#stop')")) {
      await tab.evaluate("document.querySelector('#stop').focus()");
      await tab.press('Enter', 13, '\r');
      await eventually('the countdown stops', () => tab.evaluate("document.querySelector('#wait').hidden&&document.activeElement.id==='go'"));
    }
    await tab.evaluate("document.querySelector('#go').focus()");
    await tab.press('Enter', 13, '\r');
    await eventually('Enter leads on', () => tab.left);
  }
  await tab.close();
}

// What is typed into the form of each page for people, in the order of Tab, and where it must go. `focused`: the first field
// has the focus when the page comes. `unproved`: the form carries no proof, since nobody is signed in there.
const FORMS = {
  'proxy-password': { path: '/proxy-password', fields: { password: 'Secret 1' }, focused: true, unproved: true },
  'proxy-password-wrong': { path: '/proxy-password-wrong', fields: { password: 'another' }, focused: true, unproved: true },
  'people-sign-in': { path: '/login', fields: { login: 'ana', password: 'Secret 1' } },
  'people-sign-in-wrong': { path: '/login', fields: { login: 'ana', password: 'another' } },
  'people-sign-in-for-app': { path: '/login', fields: { login: 'ana', password: 'secret' }, hidden: ['request'] },
  'people-signed-in': { path: '/logout', fields: {} },
  'people-one-time': { path: /^\/login\/./, fields: {} },
  'people-invited': { path: /^\/invitation\/./, fields: { username: 'bo', password: 'secret' } },
  'people-invited-account': { path: /^\/invitation\/./, fields: { password: 'secret' } },
  'people-consent': { path: '/oauth/authorize', fields: { workspace: null, decision: 'allow' }, hidden: ['request'] },
};

// A form is filled in and sent by Tab, letters and Enter alone, with and without JavaScript.
async function forms(page) {
  const form = FORMS[page.name];
  if (!form) return;
  for (const decision of form.fields.decision ? ['allow', 'deny'] : [undefined]) {
    for (const scripts of [true, false]) {
      const tab = await open(page, { hold: true, scripts });
      for (const [name, text] of Object.entries(form.fields)) {
        if (!form.focused) await tab.press('Tab', 9);
        if (name === 'decision') continue;
        if (scripts && (await tab.evaluate('document.activeElement.name')) !== name) problem(page, `Tab does not reach ${name} in its turn`);
        for (const letter of text ?? '') await tab.press(letter, letter.toUpperCase().charCodeAt(0), letter);
      }
      if (decision === 'deny' || Object.keys(form.fields).length === 0) await tab.press('Tab', 9);
      await tab.press('Enter', 13, '\r');
      await eventually(`the form is sent, scripts ${scripts}`, () => tab.sent);
      const { path, fields } = tab.sent;
      if (!(form.path.test?.(path) ?? form.path === path)) problem(page, `the form goes to ${path}`);
      const wanted = { ...form.fields, ...(decision && { decision }) };
      for (const [name, text] of Object.entries(wanted)) {
        if (text === null ? !fields[name] : fields[name] !== text) problem(page, `sends ${name}=${fields[name]}`);
      }
      for (const name of [...(form.unproved ? [] : ['form']), ...(form.hidden ?? [])]) if (!fields[name]) problem(page, `sends no ${name}`);
      for (const complaint of tab.complaints) problem(page, `form: console: ${complaint}`);
      await tab.close();
    }
  }
}

// With and without JavaScript the destination is reached, unless the page waits or frames it.
async function leads(page) {
  const goes = page.name.startsWith('pixel-') || ['splash-custom', 'proxy-app'].includes(page.name);
  for (const scripts of [true, false]) {
    const tab = await open(page, { scripts });
    if (goes) await eventually(`leads on, scripts ${scripts}`, () => tab.left);
    if (goes && tab.destination !== DESTINATION) problem(page, `leads to ${tab.destination}`);
    if (!scripts) {
      const wanted = page.pixels.filter((pixel) => IMAGES[pixel]).map((pixel) => IMAGES[pixel]);
      const missing = wanted.filter((host) => !hosts(tab.urls).includes(host));
      const strange = hosts(tab.urls).filter((host) => !wanted.includes(host) && host !== 'img.test');
      if (missing.length || strange.length) problem(page, `without scripts: misses ${missing}, asks ${strange}`);
      for (const complaint of tab.complaints) problem(page, `without scripts: console: ${complaint}`);
    }
    await tab.close();
  }
}

// Vendors that never answer hold nobody up, with and without JavaScript.
async function waits(page) {
  if (page.pixels.length === 0) return;
  const goes = page.name.startsWith('pixel-');
  for (const scripts of [true, false]) {
    const tab = await open(page, { silent: true, scripts });
    const asks = scripts || page.pixels.some((pixel) => IMAGES[pixel]);
    if (asks) await eventually(`the vendors are asked, scripts ${scripts}`, () => tab.urls.length > 0);
    if (goes) {
      await eventually(`leads on, scripts ${scripts}`, () => tab.left);
      const took = tab.left - tab.started;
      if (took > HELD_UP_MS) problem(page, `scripts ${scripts}: silent vendors hold a visitor up for ${took} ms`);
      slowest = Math.max(slowest, took);
    } else {
      await eventually('the page is there', () => tab.evaluate("document.querySelector('main,iframe')!==null"));
    }
    await tab.close();
  }
}

let slowest = 0;
try {
  for (const page of pages) {
    for (const check of [looks, keyboard, leads, forms, waits]) {
      if (check === keyboard && page.name.startsWith('pixel-')) continue;
      await check(page).catch((error) => problem(page, `${check.name}: ${error.message}`));
    }
  }
} finally {
  browser.kill();
  await new Promise((resolve) => browser.once('exit', resolve));
  try {
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  } catch (error) {
    // The browser's own children may still write there.
    console.error(`pages: a browser's profile stays: ${error.message}`);
  }
}
// Each kind of page that is there.
const KINDS = ['frame', 'splash-', 'overlay-', 'pixel-', 'expired', 'sent', 'list-', 'bio-', 'people-', 'proxy-password', 'proxy-app', 'proxy-expired', 'proxy-not-ready'];
for (const kind of KINDS) if (!all.some(({ name }) => name.startsWith(kind))) problems.push(`no page ${kind}`);
for (const name of Object.keys(FORMS)) if (!all.some((page) => page.name === name)) problems.push(`no page ${name}`);
for (const text of problems) console.error(text);
const failed = problems.length > 0;
console.error(failed ? `pages: ${problems.length} problems in ${pages.length} pages` : `pages: ${pages.length} pages are fine; silent vendors hold nobody up for more than ${slowest} ms; screenshots in ${folder}`);
process.exit(failed ? 1 : 0);
