package com.cometql

import com.cometql.testing.Server
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory
import java.io.File
import kotlin.test.assertTrue

/** The behavioural suite that all languages run: `sdks/suite.json`, told in `sdks/README.md`. */
class SuiteTest {
    @TestFactory
    fun `the suite with calls that suspend`(): Iterable<DynamicTest> = tests(::suspending)

    @TestFactory
    fun `the suite with calls that block`(): Iterable<DynamicTest> = tests { blocking(it) }

    /** A test for each case, on one server. */
    private fun tests(connect: suspend (LogIn) -> Calls): Iterable<DynamicTest> {
        val server = Server.start()
        val suite = Json.parseToJsonElement(File(Server.setting("COMETQL_SUITE")).readText())
        val cases = listOf("cases", "listening").flatMap { suite.jsonObject.getValue(it).jsonArray }.map { it.jsonObject }
        val tests = cases.map { case ->
            DynamicTest.dynamicTest(case.text("name")) { runBlocking { run(case, server, connect) } }
        }
        return tests + DynamicTest.dynamicTest("the server ends") { server.close() }
    }

    private suspend fun run(case: JsonObject, server: Server, connect: suspend (LogIn) -> Calls) {
        val kept = mutableMapOf<String, JsonElement>(
            "host" to JsonPrimitive(server.host),
            "url" to JsonPrimitive("ws://${server.browsers}"),
            "password" to JsonPrimitive(Server.KEY),
        )
        val matcher = Matcher(kept)
        val client = try {
            connect(logIn(matcher.filled(case["connect"] ?: JsonObject(emptyMap())).jsonObject, server))
        } catch (error: CometException) {
            return matcher.compare("connect", case, null, error)
        }
        assertTrue("fails" !in case, "it connects")
        case.getValue("steps").jsonArray.map { it.jsonObject }.forEachIndexed { number, step ->
            val name = step.text("call")
            val with = matcher.filled(step.getValue("with")).jsonArray
            val (told, error) = try {
                json(client.call(name, with)) to null
            } catch (error: CometException) {
                null to error
            }
            matcher.compare("step $number ($name)", step, told, error)
        }
        client.call("close", JsonArray(emptyList()))
    }
}
