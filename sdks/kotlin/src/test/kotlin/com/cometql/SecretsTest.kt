package com.cometql

import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertFalse

class SecretsTest {
    @Test
    fun `secrets are in no text`() {
        val key = TokenKey("a secret key", id = "its name")
        val all = listOf(Credentials.Token("a secret token"), Credentials.Hash(7u, "a secret hash"), Credentials.Key(key, Claims(user = 7)))
        val texts = all.flatMap { listOf("$it", "${Listening(credentials = it)}") } + "$key"
        texts.forEach { assertFalse("secret" in it, it) }
        assertContains("$key", "its name")
    }
}
