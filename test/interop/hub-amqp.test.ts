import { testAmqp } from './amqp.ts';
import { available } from './skupper-router.ts';

if (available()) testAmqp('hub');
