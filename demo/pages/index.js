// The least: a subscription, and what it brings as a list.
import { $, clock, element, follow, open } from './common.js';

function show({ event, data, time }) {
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  const about = [clock(time), event].filter(Boolean).join(' · ');
  $('#messages').append(element('li', {}, text, element('small', {}, about)));
  if ($('#messages').children.length > 20) $('#messages').firstChild.remove();
}

await follow(open(), 'web_demo', show, { forget: () => $('#messages').replaceChildren() });
