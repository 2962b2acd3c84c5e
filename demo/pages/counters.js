// A number for each event of the channel, and one for how many look.
import { $, again, ask, element, follow, open, submit } from './common.js';

const CHANNEL = 'counters_demo';
const client = open();
const counters = new Map();

function show({ event, data }) {
  if (!counters.has(event)) {
    const number = element('dd');
    counters.set(event, number);
    $('#numbers').append(element('div', {}, element('dt', {}, event || 'counter'), number));
  }
  counters.get(event).textContent = typeof data === 'string' ? data : JSON.stringify(data);
}

async function showViewers() {
  $('#viewers').textContent = await client.presenceCount(CHANNEL);
}

submit($('#sell'), () => ask('ticket', {}));
again(client, CHANNEL, showViewers);
await follow(client, CHANNEL, show, { presence: showViewers });
await showViewers();
