package com.cometql

import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.jsonPrimitive

/** The calls of a client, and of the subscription that a case keeps, by the names that the suite gives them. */
internal fun interface Calls {
    /** Carries one out. */
    suspend fun call(name: String, with: JsonArray): Any?
}

/** How a case logs in. */
internal class LogIn(
    val hosts: List<String>,
    val user: String,
    val password: String,
    val database: String,
    val options: Options,
)

internal suspend fun suspending(log: LogIn): Calls {
    val client = Client.connect(log.hosts, log.user, log.password, log.database, log.options)
    val heard = Heard<Subscription>()
    return Calls { name, with ->
        when (name) {
            "ping" -> client.ping()
            "close" -> client.close()
            "publish" -> client.publish(publication(with[0]))
            "publish_many" -> client.publishMany(list(with[0], ::publication))
            "send_to_user" -> client.sendToUser(message(with[0]))
            "send_to_users" -> client.sendToUsers(list(with[0], ::whole), text(with[1]), text(with[2]), with[3].jsonPrimitive.contentOrNull)
            "history" -> client.history(text(with[0]), page(with[1]))
            "delete_history" -> client.deleteHistory(text(with[0]))
            "channel_settings" -> client.channelSettings(text(with[0]))
            "set_channel_settings" -> client.setChannelSettings(text(with[0]), settings(with[1]))
            "reset_channel_settings" -> client.resetChannelSettings(text(with[0]))
            "presence" -> client.presence(text(with[0]))
            "subscribers" -> client.subscribers(list(with[0], ::text))
            "online" -> client.online(list(with[0], ::whole))
            "last_seen" -> client.lastSeen(list(with[0], ::whole))
            "authorize" -> client.authorize(whole(with[0]), text(with[1]))
            "deauthorize" -> client.deauthorize(whole(with[0]))
            "revoke" -> client.revoke(text(with[0]))
            "user_data" -> client.userData(whole(with[0]))
            "set_user_data" -> client.setUserData(whole(with[0]), text(with[1]))
            "delete_user_data" -> client.deleteUserData(whole(with[0]))
            "query" -> client.query(text(with[0]), *list(with[1], ::value).toTypedArray())
            "subscribe" -> heard.starts(client.subscribe(list(with[0]) { ChannelSince(text(it)) }, listening(with[1])))
            "next" -> heard.next { it.next() }
            "acknowledge" -> heard.subscription.acknowledge(heard.offset)
            "set_token" -> heard.subscription.setToken(text(with[0]))
            "stop_listening" -> heard.subscription.disconnect()
            "mint_token" -> mintToken(tokenKey(with[0]), claims(with[1]))
            else -> error("no such call: $name")
        }
    }
}

internal fun blocking(log: LogIn): Calls {
    val client = BlockingClient.connect(log.hosts, log.user, log.password, log.database, log.options)
    val heard = Heard<BlockingSubscription>()
    return Calls { name, with ->
        when (name) {
            "ping" -> client.ping()
            "close" -> client.close()
            "publish" -> client.publish(publication(with[0]))
            "publish_many" -> client.publishMany(list(with[0], ::publication))
            "send_to_user" -> client.sendToUser(message(with[0]))
            "send_to_users" -> client.sendToUsers(list(with[0], ::whole), text(with[1]), text(with[2]), with[3].jsonPrimitive.contentOrNull)
            "history" -> client.history(text(with[0]), page(with[1]))
            "delete_history" -> client.deleteHistory(text(with[0]))
            "channel_settings" -> client.channelSettings(text(with[0]))
            "set_channel_settings" -> client.setChannelSettings(text(with[0]), settings(with[1]))
            "reset_channel_settings" -> client.resetChannelSettings(text(with[0]))
            "presence" -> client.presence(text(with[0]))
            "subscribers" -> client.subscribers(list(with[0], ::text))
            "online" -> client.online(list(with[0], ::whole))
            "last_seen" -> client.lastSeen(list(with[0], ::whole))
            "authorize" -> client.authorize(whole(with[0]), text(with[1]))
            "deauthorize" -> client.deauthorize(whole(with[0]))
            "revoke" -> client.revoke(text(with[0]))
            "user_data" -> client.userData(whole(with[0]))
            "set_user_data" -> client.setUserData(whole(with[0]), text(with[1]))
            "delete_user_data" -> client.deleteUserData(whole(with[0]))
            "query" -> client.query(text(with[0]), *list(with[1], ::value).toTypedArray())
            "subscribe" -> heard.starts(client.subscribe(list(with[0]) { ChannelSince(text(it)) }, listening(with[1])))
            "next" -> heard.next { it.next() }
            "acknowledge" -> heard.subscription.acknowledge(heard.offset)
            "set_token" -> heard.subscription.setToken(text(with[0]))
            "stop_listening" -> heard.subscription.close()
            "mint_token" -> mintToken(tokenKey(with[0]), claims(with[1]))
            else -> error("no such call: $name")
        }
    }
}
