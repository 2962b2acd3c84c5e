package com.cometql

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withTimeoutOrNull
import kotlin.time.Duration

/**
 * Listening to channels and to an inbox. It goes on in the background, whether events are asked for or not, until it is closed.
 *
 * A limited number of events waits for the application ([Listening]). When as many wait, nothing more is read from the server;
 * the subscription goes on where it was when events are asked for again, or tells an [Event.Gap] if the server does not keep enough.
 *
 * Several coroutines may ask for events; each event is given to one of them. With an inbox they should acknowledge by hand.
 */
public class Subscription internal constructor(
    internal val native: NativeSubscription,
    listening: Listening = Listening(),
) : AutoCloseable {
    private val held = Held(native)
    private val acknowledgesItself = listening.inbox && !listening.acknowledgeByHand

    /**
     * The next event; waits for it. null = the subscription was closed. Private messages that were given before count as handled,
     * unless they are acknowledged by hand.
     *
     * @throws CometException.Ended when listening has ended for good: the credentials were refused or have ended, or no channel
     * is left. Everything that came before was given then.
     */
    public suspend fun next(): Event? = nextBatch(1u).firstOrNull()

    /**
     * As [next], but waits no longer than [time]: null = nothing came, or the subscription was closed. Use it in place of
     * `withTimeout { next() }`, which throws away an event that comes at the moment when the time is over.
     */
    public suspend fun nextWithin(time: Duration): Event? = held.call({ null }) {
        // Only the waiting is cut short, never the taking.
        awaited { withTimeoutOrNull(time) { it.ready() } }
        it.take(1u)?.firstOrNull()
    }

    /**
     * The next events: waits until there is one, and returns all that wait, but not more than [most]. None at all = the
     * subscription was closed. As [next] in everything else, and cheaper where much comes.
     */
    public suspend fun nextBatch(most: UInt): List<Event> = held.call({ emptyList() }) {
        while (true) {
            // A call that is cancelled loses what it has found: so what is waited for finds nothing, and what finds does not wait.
            awaited { it.ready() }
            val events = it.take(most) ?: break
            if (events.isNotEmpty()) return events
        }
        emptyList()
    }

    /**
     * Handles all events, one after the other, until the subscription is closed. A private message counts as handled when [handle]
     * has returned, unless messages are acknowledged by hand. When it throws, or the loop is left by a `return`, the message comes again.
     */
    public suspend inline fun forEach(handle: (Event) -> Unit) {
        while (true) handle(next() ?: break)
    }

    /**
     * All events until the subscription is closed. To stop collecting does not close it.
     *
     * Operators of flows read ahead (`buffer`, `flowOn`, `conflate`, `shareIn`), and a private message would count as handled
     * before anybody has seen it. So with an inbox the flow is only for those who acknowledge by hand; [forEach] does it itself.
     *
     * @throws CometException.Invalid when it is collected, with `inbox` and without `acknowledgeByHand`.
     */
    public fun events(): Flow<Event> = flow {
        if (acknowledgesItself) {
            throw CometException.Invalid("events() of an inbox need acknowledgeByHand = true; forEach acknowledges by itself")
        }
        while (true) emit(next() ?: break)
    }

    /** Says that a private message is handled. The server forgets it when all before it are handled, too. */
    public fun acknowledge(offset: ULong): Unit = held.call({}) { it.acknowledge(offset) }

    /** A newer token for the same user: the server is told at once, without an interruption. */
    public fun setToken(token: String): Unit = held.call({}) { it.setToken(token) }

    /**
     * Ends listening. Who waits for an event gets null at once. What was acknowledged is told to the server in the background:
     * [disconnect] waits for that.
     */
    override fun close() {
        held.call({}) { it.closeNow() }
        held.free()
    }

    /** Ends listening as [close] does, and returns when the server knows of everything that was acknowledged, after 3 seconds at the latest. */
    public suspend fun disconnect() {
        try {
            held.call({}) { awaited { it.disconnect() } }
        } finally {
            close()
        }
    }

    public companion object {
        /**
         * Starts to listen without a client: for programs that only listen and therefore have no key. [Listening.urls] must be given.
         *
         * @throws CometException.Unreachable when no node could be reached within `startTimeoutMs`.
         * @throws CometException.TimedOut when one could, but some channels were not answered in that time.
         * @throws CometException.Ended when the credentials or all channels were refused.
         */
        public suspend fun open(channels: List<ChannelSince>, listening: Listening): Subscription =
            made { Subscription(NativeSubscription.open(channels, listening).native, listening) }
    }
}
