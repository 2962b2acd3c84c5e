// CometServerApi.js 4.08: each tab has a connection of its own.
import { story } from './original_story.mjs';

await story({
  digest: 'a37479d9a077e8746e01c72a62c71d6b93db393d9c4cdd3dcb2c08aed4db364b',
  tabsShare: false,
  hasUserData: true,
  logEntries: ['one', 'two'],
});
