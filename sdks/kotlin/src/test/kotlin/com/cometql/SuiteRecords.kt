package com.cometql

import com.cometql.testing.Server
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import java.lang.reflect.Modifier
import java.time.Instant
import java.util.HexFormat

// The suite's JSON as what calls take. What it leaves out has its default.

internal fun text(json: JsonElement): String = json.jsonPrimitive.also { check(it.isString) }.content

internal fun whole(json: JsonElement): ULong = json.jsonPrimitive.content.toULong()

internal fun <T> list(json: JsonElement, one: (JsonElement) -> T): List<T> = json.jsonArray.map(one)

internal fun JsonObject.text(name: String): String = text(getValue(name))

internal fun publication(json: JsonElement): NewPublication =
    NewPublication(json.jsonObject.text("channel"), json.jsonObject.text("message"), json.text("event", ""), json.textOrNull("id"))

internal fun message(json: JsonElement): NewPrivateMessage =
    NewPrivateMessage(whole(json.jsonObject.getValue("user")), json.jsonObject.text("message"), json.text("event", ""), json.textOrNull("id"))

internal fun page(json: JsonElement): HistoryPage {
    val default = HistoryPage()
    return HistoryPage(json.whole("after", default.after), json.whole("limit", default.limit.toULong()).toUInt())
}

internal fun settings(json: JsonElement): ChannelSettings = ChannelSettings(whole(json.jsonObject.getValue("length")))

internal fun tokenKey(json: JsonElement): TokenKey {
    val names = mapOf("HS256" to Algorithm.HS256, "RS256" to Algorithm.RS256, "ES256" to Algorithm.ES256, "EdDSA" to Algorithm.ED_DSA)
    return TokenKey(json.jsonObject.text("key"), json.textOrNull("algorithm")?.let(names::getValue), json.textOrNull("id"))
}

internal fun claims(json: JsonElement): Claims {
    val user = whole(json.jsonObject.getValue("user"))
    val life = json.whole("life_s", Claims(user).lifeS)
    val tenant = json.jsonObject["tenant"]?.let { whole(it).toUInt() }
    return Claims(user, life, tenant, json.textOrNull("issuer"), json.textOrNull("audience"), json.text("further", ""))
}

internal fun listening(json: JsonElement): Listening = Listening(
    urls = json.jsonObject["urls"]?.let { list(it, ::text) } ?: emptyList(),
    credentials = json.jsonObject["credentials"]?.jsonObject?.let { Credentials.Hash(whole(it.getValue("user")), it.text("hash")) },
    inbox = json.truth("inbox", false),
    acknowledgeByHand = json.truth("acknowledge_by_hand", false),
    name = json.text("name", ""),
)

internal fun value(json: JsonElement): Any? = when (json) {
    is JsonNull -> null
    is JsonObject -> HexFormat.of().parseHex(json.text("\$blob"))
    is JsonArray -> error("no value: $json")
    is JsonPrimitive -> if (json.isString) json.content else json.content.toLongOrNull() ?: json.content.toDouble()
}

internal fun logIn(connect: JsonObject, server: Server): LogIn = LogIn(
    connect["hosts"]?.let { list(it, ::text) } ?: listOf(server.host),
    connect.text("user", "root"),
    connect.text("password", Server.KEY),
    connect.text("database", ""),
    options(connect["options"]?.jsonObject ?: JsonObject(emptyMap())),
)

private fun options(json: JsonObject): Options {
    val default = Options()
    return Options(
        tls = json["tls"]?.let { Tls(it.textOrNull("ca_file"), it.textOrNull("server_name")) },
        callTimeoutMs = json.whole("call_timeout_ms", default.callTimeoutMs),
        connectTimeoutMs = json.whole("connect_timeout_ms", default.connectTimeoutMs),
        maxConnections = json.whole("max_connections", default.maxConnections.toULong()).toUInt(),
        idleCheckMs = json.whole("idle_check_ms", default.idleCheckMs),
        idleCloseMs = json.whole("idle_close_ms", default.idleCloseMs),
        backOffMinMs = json.whole("back_off_min_ms", default.backOffMinMs),
        backOffMaxMs = json.whole("back_off_max_ms", default.backOffMaxMs),
        spread = json.truth("spread", default.spread),
    )
}

private fun JsonElement.textOrNull(name: String): String? = jsonObject[name]?.let { text(it) }

private fun JsonElement.text(name: String, default: String): String = textOrNull(name) ?: default

private fun JsonElement.whole(name: String, default: ULong): ULong = jsonObject[name]?.let { whole(it) } ?: default

private fun JsonElement.truth(name: String, default: Boolean): Boolean = jsonObject[name]?.jsonPrimitive?.boolean ?: default

/** What a call returned as the suite writes it: records by their fields, times in seconds. */
internal fun json(result: Any?): JsonElement = when (result) {
    null, Unit -> JsonNull
    is String -> JsonPrimitive(result)
    is Boolean -> JsonPrimitive(result)
    is Number -> JsonPrimitive(result)
    is UShort, is UInt, is ULong -> JsonPrimitive(result.toString().toLong())
    is Instant -> JsonPrimitive(result.epochSecond)
    is ByteArray -> JsonObject(mapOf("\$blob" to JsonPrimitive(HexFormat.of().formatHex(result))))
    is List<*> -> JsonArray(result.map(::json))
    is Value -> json(result.toKotlin())
    else -> record(result)
}

private fun record(result: Any): JsonElement {
    val fields = result.javaClass.declaredFields.filterNot { Modifier.isStatic(it.modifiers) }
    return JsonObject(fields.associate { field ->
        field.isAccessible = true
        field.name.replace(Regex("[A-Z]")) { "_" + it.value.lowercase() } to json(field.get(result))
    })
}
