// `cometql/legacy` in place of the original's script.
import { story } from './original_story.mjs';

await story({ tabsShare: true, hasUserData: true, logEntries: ['one', 'two'] });
