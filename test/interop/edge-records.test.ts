import { testRecords } from './records.ts';
import { available } from './skupper-router.ts';

if (available()) testRecords('edge');
