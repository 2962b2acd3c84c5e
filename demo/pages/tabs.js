// Shows who holds the connection, and counts what comes: every sender numbers its messages, so that each tab sees by itself
// whether one is missing or came twice.
import { $, again, open, say, uuid } from './common.js';

const CHANNEL = 'tabs_demo';
const SEND_MS = 500;
/** A tab is a sender of its own, anew when it is loaded anew. */
const sender = crypto.randomUUID();
const MODES = { worker: 'worker', leader: 'one tab', page: 'this page' };

const client = open();
/** The last number of each sender. */
const last = new Map();
const sum = { received: 0, missing: 0, twice: 0, recovered: 0 };

function count(name, more) {
  sum[name] += more;
  $(`#${name}`).textContent = sum[name];
}

function showState({ mode, tabs, transport }) {
  $('#tabs').textContent = tabs;
  $('#mode').textContent = MODES[mode];
  $('#transport').textContent = transport === 'sse' ? 'event stream' : 'WebSocket';
}

/** Those of this browser: each connection is a member, and has the name that this browser gives itself. */
async function showConnections() {
  const members = await client.presence(CHANNEL);
  $('#connections').textContent = members.filter((member) => member.uuid === uuid).length;
}

function receive({ data }) {
  const before = last.get(data.sender) ?? data.number - 1;
  if (data.number <= before) {
    count('twice', 1);
  } else {
    count('received', 1);
    count('missing', data.number - before - 1);
    last.set(data.sender, data.number);
  }
  $('#last').textContent = `The last one was number ${data.number} of ${data.sender === sender ? 'this tab' : 'another tab'}.`;
}

let number = 0;
let timer;
/** What is sent during an outage waits, and is sent once. */
function send() {
  client.publish(CHANNEL, { sender, number: ++number }).catch((error) => say(error.message));
}

$('#send').addEventListener('click', ({ target }) => {
  const sends = target.ariaPressed !== 'true';
  target.ariaPressed = String(sends);
  target.textContent = sends ? 'Stop' : 'Send two a second';
  clearInterval(timer);
  if (sends) timer = setInterval(send, SEND_MS);
});

client.on('state', showState);
client.on('recovered', ({ channel }) => { if (channel === CHANNEL) count('recovered', 1); });
again(client, CHANNEL, showConnections);
showState(client.state);
await client.subscribe(CHANNEL, receive, { presence: showConnections }).ready;
await showConnections();
