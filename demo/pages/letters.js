// An inbox. A letter is handled when it is opened: until then its handler's promise is open, the server keeps it, and it comes
// again. Opened ones are kept in this browser.
import { $, ask, clock, element, open, say, server, submit } from './common.js';

const PEOPLE = new Map([[11, 'Ada'], [12, 'Ben'], [13, 'Chloe'], [14, 'Dan']]);
const me = Number(location.hash.slice(1));
const key = `demo_letters_${me}`;
/** By offset: letters that were opened, as texts, and what opens those that were not. */
const opened = () => JSON.parse(localStorage[key] ?? '{}');
const closed = new Map();

const nameOf = (user) => PEOPLE.get(Number(user)) ?? `User ${user}`;

for (const [user, name] of PEOPLE) {
  const link = element('a', { href: `#${user}`, className: user === me ? 'button' : 'button quiet', textContent: name });
  if (user === me) link.ariaCurrent = 'true';
  $('#people').append(link);
  if (user !== me) $('#to').append(new Option(name, user));
}
addEventListener('hashchange', () => location.reload());

function fill(item, { data, time }) {
  const text = data.text ?? JSON.stringify(data);
  item.replaceChildren(element('small', {}, `From ${nameOf(data.from)} · ${clock(time)}`), text);
}

function showLetter(letter, handled) {
  const item = element('li', { tabIndex: -1 });
  const open = () => {
    closed.delete(letter.offset);
    fill(item, letter);
    handled();
  };
  closed.set(letter.offset, open);
  const button = element('button', { className: 'quiet', textContent: `Open the letter from ${nameOf(letter.data.from)}` });
  button.addEventListener('click', () => {
    // First it is kept here, then the server may forget it.
    localStorage[key] = JSON.stringify({ ...opened(), [letter.offset]: letter });
    open();
    item.focus();
  });
  item.append(button);
  $('#letters').append(item);
}

/** Another tab of the same user opened it. */
addEventListener('storage', () => {
  for (const offset of Object.keys(opened())) closed.get(Number(offset))?.();
});

/** An online person gets a letter now, the others when they come. */
function showPresence(client) {
  for (const option of $('#to').options) {
    const show = async () => {
      const { online } = await client.userStatus(Number(option.value));
      option.textContent = `${nameOf(option.value)} (${online ? 'here now' : 'not here'})`;
    };
    client.subscribe(`user_status_${option.value}`, show);
    client.on('state', ({ status }) => { if (status === 'online') show(); });
  }
}

async function start() {
  $('#mailbox').hidden = false;
  const other = $('#to').options[0].value;
  $('#login-sql').textContent = `INSERT INTO users_auth (id, hash) VALUES (${me}, 'byhand');`;
  $('#letter-sql').textContent =
    `INSERT INTO users_messages (id, event, message) VALUES (${me}, 'letter', '{"from": ${other}, "text": "Hello"}');`;
  $('#waiting-sql').textContent = `SELECT id, event, message FROM users_messages WHERE id = ${me};`;
  for (const letter of Object.values(opened())) {
    const item = element('li');
    fill(item, letter);
    $('#letters').append(item);
  }
  const { backend } = await server();
  const login = backend ? await ask('login', { user: me }) : { user: me, hash: 'byhand' };
  const client = open(login);
  client.inbox((letter) => {
    if (opened()[letter.offset]) return;
    return new Promise((handled) => showLetter(letter, handled));
  });
  showPresence(client);
  submit($('#write'), async ({ to, text }) => {
    await ask('letter', { ...login, to, text });
    $('#write').elements.text.value = '';
    $('#sent').textContent = `Sent to ${nameOf(to)}.`;
  });
}

if (PEOPLE.has(me)) {
  start().catch((error) => say(error.message));
} else {
  $('#status').textContent = 'nobody yet';
}
