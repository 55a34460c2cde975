import { testAmqpOfPair } from './amqp.ts';
import { available } from './skupper-router.ts';

if (available()) testAmqpOfPair('edge');
