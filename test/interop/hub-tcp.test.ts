// time limit: 600 s
import { available } from './skupper-router.ts';
import { testTcp } from './tcp.ts';

if (available()) testTcp('hub');
