// CometServerApi.js 3.25: the older message format; tabs of one origin share a connection.
import { story } from './original_story.mjs';

await story({
  digest: '1f6b8c32866703e231b854577e9951ef2b34cf10fc8a21b4abf4dcdb0c46b5cc',
  tabsShare: true,
  hasUserData: false,
  // The callback of `get_pipe_log` takes its hands off after the first entry.
  logEntries: ['one'],
});
