import Foundation

import Glibc

/// A CometQL server: a process of its own, with data of its own, on ports that nobody else takes while it is dead.
final class Server {
    /// The key of every server here.
    static let key = "swift-tests-only"

    private static let lock = NSLock()
    private static var free = setting("COMETQL_PORTS").split(separator: ",").map { UInt16($0)! }

    /// Where backends connect.
    let host: String
    /// Where browsers connect.
    let browsers: String
    private let ports: [UInt16]
    private let folder: URL
    private var process: Process

    init() throws {
        ports = Self.lock.withLock {
            defer { Self.free.removeFirst(3) }
            return Array(Self.free.prefix(3))
        }
        host = "127.0.0.1:\(ports[0])"
        browsers = "127.0.0.1:\(ports[1])"
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("cometql-swift-\(ports[0])")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        process = try Self.launch(ports, folder)
    }

    deinit { stop() }

    /// Ends it at once, as a crash does.
    func kill() {
        signal(SIGKILL)
        process.waitUntilExit()
    }

    /// Starts it again after `kill`, on the same ports and data.
    func restart() throws { process = try Self.launch(ports, folder) }

    /// Lets it answer nothing until `resume`.
    func freeze() { signal(SIGSTOP) }

    /// Lets it answer again.
    func resume() { signal(SIGCONT) }

    /// Ends it and gives its ports back.
    private func stop() {
        kill()
        try? FileManager.default.removeItem(at: folder)
        Self.lock.withLock { Self.free.append(contentsOf: ports) }
    }

    private func signal(_ number: Int32) {
        if process.isRunning { _ = Glibc.kill(process.processIdentifier, number) }
    }

    private static func launch(_ ports: [UInt16], _ folder: URL) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: setting("COMETQL_BINARY"))
        // A tenant has a key of its own, so that the other key is not that of the whole node.
        let settings = folder.appendingPathComponent("cometql.toml")
        try "[tenants.7]\nkeys = [\"only for the tests of tenant seven\"]\n".write(to: settings, atomically: true, encoding: .utf8)
        let data = folder.appendingPathComponent("data")
        process.arguments = ["serve", "--password", key, "--data-dir", data.path, "--config", settings.path]
        for (flag, port) in zip(["--mysql", "--http", "--admin"], ports) {
            process.arguments! += [flag, "127.0.0.1:\(port)"]
        }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        let until = Date(timeIntervalSinceNow: 60)
        for port in ports {
            while !listens(port) {
                guard process.isRunning, Date() < until else { throw ServerDidNotStart() }
                usleep(20_000)
            }
        }
        return process
    }

    private static func listens(_ port: UInt16) -> Bool {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

struct ServerDidNotStart: Error {}

/// What `cargo xtask sdks` tells the tests.
func setting(_ name: String) -> String {
    guard let value = ProcessInfo.processInfo.environment[name] else {
        fatalError("\(name) is not set: run the tests by cargo xtask sdks --only swift")
    }
    return value
}
