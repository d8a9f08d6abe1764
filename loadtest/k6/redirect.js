// Visitors: links by Zipf, of a hundred 80 browsers, 15 bots and 5 who mistype.
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { BOT, BROWSER, PROXY, makeLinks, scenario, summary, summaryTrendStats, zipf } from './lib.js';

const sent = new Counter('sent');
const redirects = new Counter('redirects');
const misses = new Counter('misses');
const wrong = new Counter('wrong');

export const options = {
  scenarios: { visitors: { ...scenario(__ENV.SHAPE || 'steady'), exec: 'visit' } },
  thresholds: { wrong: ['count==0'], 'http_req_duration{scenario:visitors}': ['p(99)<50'], dropped_iterations: ['count==0'] },
  summaryTrendStats,
  discardResponseBodies: false,
};

export function setup() {
  return { slugs: makeLinks() };
}

let draw;

export function visit({ slugs }) {
  draw = draw || zipf(slugs.length);
  const who = Math.random();
  const miss = who >= 0.95;
  const slug = slugs[draw()];
  const answer = http.get(`${PROXY}/${slug}${miss ? '-no' : ''}`, {
    redirects: 0,
    headers: { 'User-Agent': who < 0.8 ? BROWSER : BOT },
    responseCallback: http.expectedStatuses(302, 404),
  });
  sent.add(1);
  if (miss && answer.status === 404) misses.add(1);
  else if (!miss && answer.status === 302 && answer.headers.Location.endsWith(`/${slug.split('-').pop()}`)) redirects.add(1);
  else wrong.add(1);
}

export const handleSummary = (data) => summary(data, ['sent', 'redirects', 'misses', 'wrong']);
