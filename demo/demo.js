// A bare WebSocket is enough. A real page would use the client, which also reconnects without a gap and shares one
// connection between tabs.
const status = document.querySelector('#status');
const list = document.querySelector('#messages');
const text = document.querySelector('#text');
let socket;
let requests = 0;
let position;

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
  socket.onclose = () => {
    say('closed', 'connection lost, trying again…');
    setTimeout(connect, 1000);
  };
}

document.querySelector('#send').addEventListener('submit', (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ id: ++requests, publish: { channel: 'web_demo', event: 'chat', data: text.value } }));
  text.value = '';
});

connect();
