// A bare WebSocket is enough. A real page would use the client, which also reconnects without a gap and shares one
// connection between tabs.
const status = document.querySelector('#status');
const list = document.querySelector('#messages');
const text = document.querySelector('#text');
let socket;
let requests = 0;
let position;
let failures = 0;

function say(state, words) {
  status.dataset.state = state;
  status.textContent = words;
}

function show({ event, data, user, time }) {
  document.querySelector('#empty').hidden = true;
  const item = document.createElement('li');
  // textContent: what others send is never markup.
  item.textContent = typeof data === 'string' ? data : JSON.stringify(data);
  const small = document.createElement('small');
  const who = user ? `user ${user}` : 'anonymous or SQL';
  small.textContent = [new Date(time).toLocaleTimeString(), event, who].filter(Boolean).join(' · ');
  item.append(small);
  list.append(item);
  if (list.children.length > 200) list.firstChild.remove();
  item.scrollIntoView({ block: 'end' });
}

function connect() {
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/connect?v=1`);
  socket.onopen = () => {
    failures = 0;
    say('open', 'connected');
    // With the last position, what was sent meanwhile comes too.
    socket.send(JSON.stringify({ id: ++requests, subscribe: { channel: 'web_demo', ...position } }));
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    const subscribed = message.subscribed;
    // What was missed follows with its own offsets; otherwise we begin where the channel is now.
    if (subscribed?.epoch && !subscribed.recovered) position = { epoch: subscribed.epoch, offset: subscribed.offset };
    if (message.error) say('closed', message.error.message);
    if (message.push !== 'publication') return;
    if (position && message.offset) position = { ...position, offset: message.offset };
    show(message);
  };
  socket.onclose = ({ reason }) => {
    const wait = delay(reason);
    say('closed', `connection lost, trying again in ${Math.ceil(wait / 1000)} s`);
    setTimeout(connect, wait);
  };
}

/** Milliseconds until the next try: what the server asked for, or twice as long each time, up to half a minute. Random,
 * so that not all pages come back at once. */
function delay(reason) {
  const [, asked] = /retry_after_ms=(\d+)/.exec(reason) ?? [];
  if (asked) return Number(asked);
  const longest = Math.min(500 * 2 ** failures++, 30_000);
  return longest / 2 + Math.random() * longest / 2;
}

/** The line that `cometql demo` printed: it knows the port and the key. */
async function showLine() {
  const response = await fetch('line.txt');
  if (!response.ok) return;
  document.querySelector('#line').textContent = (await response.text()).trim();
  document.querySelector('#try').hidden = false;
}

document.querySelector('#copy').addEventListener('click', async ({ target }) => {
  const line = document.querySelector('#line');
  try {
    await navigator.clipboard.writeText(line.textContent);
    target.textContent = 'Copied';
  } catch {
    // Not allowed here: then it is at least selected.
    getSelection().selectAllChildren(line);
    target.textContent = 'Press Ctrl+C';
  }
  setTimeout(() => { target.textContent = 'Copy'; }, 2000);
});

document.querySelector('#send').addEventListener('submit', (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ id: ++requests, publish: { channel: 'web_demo', event: 'chat', data: text.value } }));
  text.value = '';
});

showLine();
connect();
