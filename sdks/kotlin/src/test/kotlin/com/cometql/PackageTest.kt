package com.cometql

import com.cometql.testing.Server
import kotlin.test.Test
import kotlin.test.assertEquals

class PackageTest {
    @Test
    fun `the library has the version of the package`() {
        assertEquals(Server.setting("COMETQL_VERSION"), sdkVersion())
    }
}
