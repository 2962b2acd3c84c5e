package com.cometql

import com.cometql.testing.Server
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals

class PackageTest {
    @Test
    fun `the library has the version of the package`() {
        assertEquals(Server.setting("COMETQL_VERSION"), sdkVersion())
    }

    @Test
    fun `the licences are in the jar`() {
        fun text(name: String) = checkNotNull(Client::class.java.getResource("/META-INF/$name")) { "no $name" }.readText()
        assertContains(text("LICENSE-MIT"), "CometQL")
        assertContains(text("LICENSE-APACHE"), "Apache License")
        assertContains(text("THIRD-PARTY.txt"), "aws-lc")
    }
}
