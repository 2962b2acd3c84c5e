import CometQL
import XCTest

final class MisuseTests: XCTestCase {
    func testAWrongKeyIsRefused() async throws {
        let server = try Server()
        let error = await failure { try await Client.connect(hosts: [server.host], user: "root", password: "wrong") }
        guard case .AccessDenied(code: 16, detail: _) = error else { return XCTFail("\(error as Any)") }
        let blocking = blockingFailure { try BlockingClient.connect(hosts: [server.host], user: "root", password: "wrong") }
        guard case .AccessDenied = blocking else { return XCTFail("\(blocking as Any)") }
    }

    func testAHostThatIsNotThereCantBeReached() async throws {
        let server = try Server()
        server.kill()
        let error = await failure { try await connect(server, options: Options(callTimeoutMs: 500)) }
        guard case .Unreachable = error else { return XCTFail("\(error as Any)") }
    }

    func testAClosedClientSaysSo() async throws {
        let server = try Server()
        let client = try await connect(server)
        client.close()
        client.close()
        let error = await failure { try await client.publish("too late", to: "web_news") }
        XCTAssertEqual(error, .Closed)
        let blocking = try connectBlocking(server)
        blocking.close()
        XCTAssertEqual(blockingFailure { try blocking.ping() }, .Closed)
    }

    func testInvalidArgumentsAreTold() async throws {
        let server = try Server()
        for hosts in [[], ["a host"]] {
            let error = await failure { try await Client.connect(hosts: hosts, user: "root", password: "") }
            guard case .Invalid = error else { return XCTFail("\(hosts): \(error as Any)") }
        }
        let error = await failure { try await connect(server, options: Options(maxConnections: 0)) }
        guard case .Invalid = error else { return XCTFail("\(error as Any)") }
    }

    func testARefusalCarriesTheServersCode() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        let error = await failure { try await client.query("SELEKT 1") }
        guard case .Refused(code: 3, state: _, detail: _) = error else { return XCTFail("\(error as Any)") }
    }
}
