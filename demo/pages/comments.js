// Comments come from the channel, also those that were written here: the backend alone decides what is one.
import { $, ask, clock, element, follow, open, submit } from './common.js';

function show({ data, time }) {
  const about = `${data.name ?? 'somebody'} · ${clock(time)}`;
  $('#comments').append(element('li', {}, element('small', {}, about), data.text ?? ''));
}

submit($('#write'), async (form) => {
  await ask('comment', form);
  $('#write').elements.text.value = '';
});

await follow(open(), 'comments_demo', show, { forget: () => $('#comments').replaceChildren() });
