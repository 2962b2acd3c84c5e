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
 * Several coroutines may ask for events; each event is given to one of them.
 */
public class Subscription internal constructor(private val native: NativeSubscription) : AutoCloseable {
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
    public suspend fun nextWithin(time: Duration): Event? {
        // Only the waiting is cut short, never the taking.
        withTimeoutOrNull(time) { native.ready() }
        return native.take(1u)?.firstOrNull()
    }

    /**
     * The next events: waits until there is one, and returns all that wait, but not more than [most]. None at all = the
     * subscription was closed. As [next] in everything else, and cheaper where much comes.
     */
    public suspend fun nextBatch(most: UInt): List<Event> {
        while (true) {
            // A call that is cancelled loses what it has found: so what is waited for finds nothing, and what finds does not wait.
            native.ready()
            val events = native.take(most) ?: return emptyList()
            if (events.isNotEmpty()) return events
        }
    }

    /** All events until the subscription is closed. To stop collecting does not close it. */
    public fun events(): Flow<Event> = flow {
        while (true) emit(next() ?: break)
    }

    /** Says that a private message is handled. The server forgets it when all before it are handled, too. */
    public fun acknowledge(offset: ULong): Unit = native.acknowledge(offset)

    /** A newer token for the same user: the server is told at once, without an interruption. */
    public fun setToken(token: String): Unit = native.setToken(token)

    /** Ends listening. Who waits for an event gets null at once. */
    override fun close(): Unit = native.closeNow()

    public companion object {
        /**
         * Starts to listen without a client: for programs that only listen and therefore have no key. [Listening.urls] must be given.
         *
         * @throws CometException.Unreachable when no node could be reached within `startTimeoutMs`.
         * @throws CometException.Ended when the credentials or all channels were refused.
         */
        public suspend fun open(channels: List<ChannelSince>, listening: Listening): Subscription =
            NativeSubscription.open(channels, listening)
    }
}
