package com.cometql

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import java.util.Base64
import kotlin.test.assertTrue

/** Fills in what the suite abbreviates, and compares results with what it expects. Knows what a case has kept. */
internal class Matcher(private val kept: MutableMap<String, JsonElement>) {
    /** Arguments with what stands for something else put in. */
    fun filled(json: JsonElement): JsonElement = when (json) {
        is JsonPrimitive -> if (json.isString && json.content.startsWith("$")) kept[json.content.drop(1)] ?: json else json
        is JsonArray -> JsonArray(json.map(::filled))
        is JsonObject -> made(json) ?: JsonObject(json.mapValues { filled(it.value) })
    }

    /** Compares what came of something with what the suite expects. */
    fun compare(place: String, expected: JsonObject, told: JsonElement?, error: CometException?) {
        val fails = expected["fails"]?.jsonObject
        if (error == null) {
            assertTrue(fails == null, "$place: $told, and not $fails")
            val gives = expected["gives"] ?: return
            assertTrue(matches(gives, told!!), "$place: $told is not $gives")
            return
        }
        assertTrue(fails != null, "$place: $error")
        val code = fails["code"]
        val agrees = fails.text("kind") == error.javaClass.simpleName && (code == null || matches(code, codeOf(error)))
        assertTrue(agrees, "$place: $error is not $fails")
    }

    private fun codeOf(error: CometException): JsonElement = when (error) {
        is CometException.Refused -> json(error.code)
        is CometException.AccessDenied -> json(error.code)
        is CometException.Ended -> json(error.code)
        else -> JsonNull
    }

    /** Whether a value is what is expected. */
    private fun matches(expected: JsonElement, told: JsonElement): Boolean = when (expected) {
        is JsonPrimitive -> if (expected.isString) matchesText(expected.content, told) else same(expected, told)
        is JsonArray -> told is JsonArray && told.size == expected.size && expected.indices.all { matches(expected[it], told[it]) }
        is JsonObject -> matchesObject(expected, told)
    }

    private fun matchesText(expected: String, told: JsonElement): Boolean = when {
        expected == "\$any" -> true
        expected == "\$text" -> told is JsonPrimitive && told.isString
        expected == "\$number" -> number(told)?.let { it >= 0 } ?: false
        expected == "\$uuid" -> told is JsonPrimitive && told.isString && UUID.matches(told.content)
        // After September 2020.
        expected == "\$time" -> number(told)?.let { it > 1_600_000_000 } ?: false
        expected.startsWith("\$keep ") -> true.also { kept[expected.removePrefix("\$keep ")] = told }
        expected.startsWith("$") -> kept.getValue(expected.drop(1)) == told
        else -> told == JsonPrimitive(expected)
    }

    private fun matchesObject(expected: JsonObject, told: JsonElement): Boolean {
        made(expected)?.let { return it == told }
        expected["\$length"]?.let { return told.jsonArray.size == it.jsonPrimitive.int }
        expected["\$claims"]?.let { return matches(it, claimsOf(told.jsonPrimitive.content)) }
        return told is JsonObject && told.keys == expected.keys && expected.all { (name, field) -> matches(field, told.getValue(name)) }
    }

    /** Numbers are the same when they are so as numbers: 2 and 2.0 are not the same kind of value. */
    private fun same(expected: JsonPrimitive, told: JsonElement): Boolean =
        told is JsonPrimitive && !told.isString && expected.content == told.content

    private fun number(told: JsonElement): Long? = (told as? JsonPrimitive)?.takeUnless { it.isString }?.content?.toLongOrNull()

    /** `$repeat` and `$list`. */
    private fun made(json: JsonObject): JsonElement? {
        json["\$repeat"]?.jsonArray?.let { (text, times) -> return JsonPrimitive(text(text).repeat(times.jsonPrimitive.int)) }
        val (item, times) = json["\$list"]?.jsonArray ?: return null
        return JsonArray(List(times.jsonPrimitive.int) { item })
    }

    /** What a token says. */
    private fun claimsOf(token: String): JsonElement =
        Json.parseToJsonElement(Base64.getUrlDecoder().decode(token.split(".")[1]).decodeToString())

    private companion object {
        val UUID = Regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    }
}
