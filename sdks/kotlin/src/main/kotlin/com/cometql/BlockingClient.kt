package com.cometql

/**
 * A client of one or several CometQL servers, whose calls block their thread. It keeps some connections open, goes over to
 * another host when one dies, and may be used from many threads at once.
 *
 * A virtual thread that calls keeps its carrier meanwhile, and `Thread.interrupt` ends no call: their time is limited by [Options].
 *
 * Close it, or give it to [use].
 */
public class BlockingClient internal constructor(native: NativeBlockingClient) : AutoCloseable {
    private val held = Held(native)

    private inline fun <T> call(call: (NativeBlockingClient) -> T): T = held.call({ throw CometException.Closed() }, call)

    /** Publishes to a channel. When the connection breaks, it is sent once more, with the same id: so it arrives once. */
    public fun publish(publication: NewPublication): Sent = call { it.publish(publication) }

    /** Publishes to a channel; see [NewPublication] for what may stand there. */
    public fun publish(channel: String, message: String, event: String = ""): Sent =
        publish(NewPublication(channel, message, event))

    /**
     * Publishes several messages, to the same or to different channels, in their order and in few round trips. It is not
     * atomic: when it fails, the first ones may have been sent, and the error's text says how many surely were.
     */
    public fun publishMany(publications: List<NewPublication>): SentMany = call { it.publishMany(publications) }

    /**
     * Sends a private message to all connections of a user, or keeps it until one acknowledges it. Refused with code 507 when
     * too many wait already.
     */
    public fun sendToUser(message: NewPrivateMessage): Sent = call { it.sendToUser(message) }

    /** Sends a private message to a user; see [NewPrivateMessage] for what may stand there. */
    public fun sendToUser(user: ULong, message: String, event: String = ""): Sent =
        sendToUser(NewPrivateMessage(user, message, event))

    /** Sends a private message to a user. */
    public fun sendToUser(user: Long, message: String, event: String = ""): Sent = sendToUser(user.toULong(), message, event)

    /**
     * Sends the same private message to several users, in few round trips. It is not atomic, as [publishMany]. With an [id], which
     * all of them get, it may be sent again: within 5 minutes each user gets it once. Without, each gets one of its own.
     */
    public fun sendToUsers(users: List<ULong>, message: String, event: String = "", id: String? = null): SentMany =
        call { it.sendToUsers(users, message, event, id) }

    /**
     * A page of what a channel keeps on disk, the oldest first. Channels keep nothing there unless a setting or a channel rule
     * says so.
     */
    public fun history(channel: String, page: HistoryPage = HistoryPage()): PublicationPage =
        call { it.history(channel, page) }

    /** Deletes what a channel keeps on disk; returns how many publications that were. Listeners are told that there is a gap. */
    public fun deleteHistory(channel: String): ULong = call { it.deleteHistory(channel) }

    /** How a channel is set; null = it has no setting of its own. */
    public fun channelSettings(channel: String): ChannelSettings? = call { it.channelSettings(channel) }

    /** Sets how many publications a channel keeps on disk. */
    public fun setChannelSettings(channel: String, settings: ChannelSettings): Unit =
        call { it.setChannelSettings(channel, settings) }

    /** Deletes the setting of a channel, and what it keeps on disk. */
    public fun resetChannelSettings(channel: String): Unit = call { it.resetChannelSettings(channel) }

    /** Who is subscribed to a channel: one entry for each connection, the newest first. */
    public fun presence(channel: String): List<Presence> = call { it.presence(channel) }

    /** How many subscribers these channels have: one entry for each, in their order, 0 for an unknown one. */
    public fun subscribers(channels: List<String>): List<Subscribers> = call { it.subscribers(channels) }

    /** Which of these users are online, in their order. */
    public fun online(users: List<ULong>): List<ULong> = call { it.online(users) }

    /** Which of these users are online, in their order. */
    public fun online(vararg users: Long): List<Long> = online(users.map(Long::toULong)).map(ULong::toLong)

    /** When these users were last online: one entry for each, in their order. */
    public fun lastSeen(users: List<ULong>): List<LastSeen> = call { it.lastSeen(users) }

    /** When these users were last online: one entry for each, in their order. */
    public fun lastSeen(vararg users: Long): List<LastSeen> = lastSeen(users.map(Long::toULong))

    /**
     * Lets a browser that knows this hash log in as the user: 0 to 32 letters, digits, `=`, `+`, `/` and `_`. Replaces the hash
     * that was there, and leaves open connections alone.
     */
    public fun authorize(user: ULong, hash: String): Unit = call { it.authorize(user, hash) }

    /** Lets a browser that knows this hash log in as the user. */
    public fun authorize(user: Long, hash: String): Unit = authorize(user.toULong(), hash)

    /** Deletes the hash of a user, and closes all connections of the user. */
    public fun deauthorize(user: ULong): Unit = call { it.deauthorize(user) }

    /** Deletes the hash of a user, and closes all connections of the user. */
    public fun deauthorize(user: Long): Unit = deauthorize(user.toULong())

    /**
     * Refuses a token from now on, and closes what it opened. Of a valid token, the user's hash is deleted and all connections
     * of the user are closed, too.
     */
    public fun revoke(token: String): Unit = call { it.revoke(token) }

    /** The text that is kept for a user and that browsers may read; null = there is none. */
    public fun userData(user: ULong): String? = call { it.userData(user) }

    /** The text that is kept for a user and that browsers may read; null = there is none. */
    public fun userData(user: Long): String? = userData(user.toULong())

    /** Keeps a text for a user, 65,535 bytes at most, in place of the one that was there. An empty one counts as none. */
    public fun setUserData(user: ULong, data: String): Unit = call { it.setUserData(user, data) }

    /** Keeps a text for a user. */
    public fun setUserData(user: Long, data: String): Unit = setUserData(user.toULong(), data)

    /** Deletes the text that is kept for a user. */
    public fun deleteUserData(user: ULong): Unit = call { it.deleteUserData(user) }

    /** Deletes the text that is kept for a user. */
    public fun deleteUserData(user: Long): Unit = deleteUserData(user.toULong())

    /**
     * Carries out any one statement. Each `?` in it stands for one of [params], in their order, which is never pasted into the
     * text: null, Boolean, a number, text, ByteArray or [Value]. Only statements that begin with SELECT or SHOW are tried again
     * when the connection breaks. Each call may use another connection, so the state of a session does not last.
     */
    public fun query(sql: String, vararg params: Any?): Answer = call { it.query(sql, params.map(::valueOf)) }

    /** Asks a server whether it is there. */
    public fun ping(): Unit = call { it.ping() }

    /**
     * Starts to listen to channels, and to the user's private messages if [listening] says so. Returns once the server has
     * answered for each channel: what is published from then on comes. It ends when the client is closed.
     *
     * @throws CometException.Unreachable when no node could be reached within `startTimeoutMs`.
     * @throws CometException.TimedOut when one could, but some channels were not answered in that time.
     * @throws CometException.Ended when the credentials or all channels were refused.
     */
    public fun subscribe(channels: List<ChannelSince>, listening: Listening = Listening()): BlockingSubscription =
        BlockingSubscription(call { it.subscribe(channels, listening) })

    /** Listens to what comes in these channels from now on. */
    public fun subscribe(vararg channels: String, listening: Listening = Listening()): BlockingSubscription =
        subscribe(channels.map { ChannelSince(it) }, listening)

    /** Closes the client. Calls that are under way fail with [CometException.Closed], and so do all later ones; subscriptions end. */
    override fun close() {
        held.call({}) { it.disconnect() }
        held.free()
    }

    public companion object {
        /**
         * Connects to the first host that can be reached and lets the user in.
         *
         * @param hosts `host` or `host:port` (3307 if no port is given), the most preferred first.
         * @param user the number of the tenant, or `root` for tenant 0.
         * @param password the tenant's key.
         * @param database may be empty.
         * @throws CometException.AccessDenied for a wrong user, password or database.
         * @throws CometException.Unreachable when no host answers.
         * @throws CometException.Invalid for hosts or options that are not valid.
         */
        public fun connect(
            hosts: List<String>,
            user: String,
            password: String,
            database: String = "",
            options: Options = Options(),
        ): BlockingClient = NativeBlockingClient.connect(hosts, user, password, database, options)
    }
}
