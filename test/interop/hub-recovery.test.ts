import { testRecovery } from './recovery.ts';
import { available } from './skupper-router.ts';

if (available()) testRecovery('hub');
