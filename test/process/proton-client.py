"""
An application with Qpid Proton's client: `proton-client.py WAY NEAR FAR` connects to the two ports, goes that way, and says as
JSON what it saw. What is sent waits for its outcome in a thread of its own, since each connection works while it is asked.
"""
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from proton import Message, Timeout
from proton.reactor import AtMostOnce
from proton.utils import BlockingConnection, LinkDetached

TIMEOUT = 20


def connect(port):
    return BlockingConnection("amqp://127.0.0.1:" + port, timeout=TIMEOUT, allowed_mechs="ANONYMOUS")


def until_credit(connection, sender):
    connection.wait(lambda: sender.link.credit > 0, msg="credit")


def outcome(sender, message):
    return str(sender.send(message, error_states=[]).remote_state)


def result(sent, receiving):
    """What became of it; a receiver's word goes out while its connection is asked for something."""
    while not sent.done():
        receiving.container.timeout = 0.01
        receiving.container.process()
    return sent.result()


def flush(connection, sender):
    """Of messages that nobody asks about the client does not see to it that they go."""
    connection.wait(lambda: sender.link.queued == 0, msg="what is to be sent")
    connection.container.timeout = 0.1
    for _ in range(3):
        connection.container.process()


def outcomes(near, far, threads):
    """What becomes of a message, by what its receiver does with it."""
    receiver = far.create_receiver("proton.orders", credit=10)
    sender = near.create_sender("proton.orders")
    until_credit(near, sender)
    seen = {}
    for name, end in [
        ("accepted", receiver.accept),
        ("rejected", receiver.reject),
        ("released", lambda: receiver.release(delivered=False)),
        ("modified", lambda: receiver.release(delivered=True)),
    ]:
        sent = threads.submit(outcome, sender, Message(id=name, subject="s", priority=9, durable=True, body=name))
        message = receiver.receive()
        end()
        seen[name] = [result(sent, far), message.body, message.priority, message.durable]
    return seen


def presettled(near, far, threads):
    receiver = far.create_receiver("proton.events", credit=200)
    sender = near.create_sender("proton.events", options=AtMostOnce())
    until_credit(near, sender)
    for index in range(100):
        sender.send(Message(body=index))
    flush(near, sender)
    return [receiver.receive().body for _ in range(100)]


def requests(near, far, threads):
    """A request to an address, from which nothing is known but that; the answer by a link without one."""
    service = far.create_receiver("proton.prices", credit=10)
    answers = far.create_sender(None)
    replies = near.create_receiver(None, credit=10, dynamic=True)
    questions = near.create_sender("proton.prices")
    until_credit(near, questions)
    reply_to = replies.link.remote_source.address
    asked = threads.submit(outcome, questions, Message(reply_to=reply_to, correlation_id=7, body="price?"))
    question = service.receive()
    service.accept()
    result(asked, far)
    answer = Message(address=question.reply_to, correlation_id=question.correlation_id, body="12 €")
    answered = threads.submit(outcome, answers, answer)
    reply = replies.receive()
    replies.accept()
    return [result(answered, near), reply.correlation_id, reply.body]


def drain(near, far, threads):
    """Credit that nothing is there for comes back; what is there comes before."""
    receiver = far.create_receiver("proton.drained", credit=0)
    sender = near.create_sender("proton.drained", options=AtMostOnce())
    until_credit(near, sender)
    for index in range(3):
        sender.send(Message(body=index))
    flush(near, sender)
    receiver.link.flow(3)
    bodies = [receiver.receive().body for _ in range(3)]
    receiver.link.drain(10)
    far.wait(lambda: not receiver.link.draining(), msg="the end of a drain")
    return {"bodies": bodies, "credit": receiver.link.credit}


def multicast(near, far, threads):
    receivers = [
        connection.create_receiver("mc/proton", credit=100, name=name)
        for connection, name in ((near, "near"), (far, "far"), (far, "as far"))
    ]
    sender = connect(sys.argv[2]).create_sender("mc/proton")
    missing = set(range(3))
    for number in range(100):
        sender.send(Message(body=number))
        for index in list(missing):
            try:
                receivers[index].receive(timeout=0.2)
                missing.discard(index)
            except Timeout:
                pass
        if not missing:
            return True
    return False


def large(near, far, threads):
    body = bytes(range(256)) * 4096 * 8
    receiver = far.create_receiver("proton.pictures", credit=1)
    sender = near.create_sender("proton.pictures")
    until_credit(near, sender)
    sent = threads.submit(outcome, sender, Message(body=body))
    message = receiver.receive()
    receiver.accept()
    return [result(sent, far), message.body == body]


def refused(near, far, threads):
    words = []
    for address in ("_local/qdhello", "x" * 10_000):
        try:
            near.create_sender(address)
        except LinkDetached as error:
            words.append(error.condition)
    return words


def main():
    way, near, far = sys.argv[1:4]
    with ThreadPoolExecutor() as threads:
        print(json.dumps(globals()[way](connect(near), connect(far), threads)))


main()
