import CometQL
import Foundation

// The suite's JSON as what calls take. What it leaves out has its default.

func text(_ json: JSON) -> String { json.text! }

func whole(_ json: JSON) -> UInt64 { UInt64(json.whole!) }

func list<T>(_ json: JSON, _ one: (JSON) -> T) -> [T] { json.array!.map(one) }

func publication(_ json: JSON) -> NewPublication {
    NewPublication(
        channel: text(json["channel"]!), message: text(json["message"]!), event: json["event"]?.text ?? "", id: json["id"]?.text)
}

func message(_ json: JSON) -> NewPrivateMessage {
    NewPrivateMessage(
        user: whole(json["user"]!), message: text(json["message"]!), event: json["event"]?.text ?? "", id: json["id"]?.text)
}

func page(_ json: JSON) -> HistoryPage {
    let page = HistoryPage()
    return HistoryPage(after: json["after"].map(whole) ?? page.after, limit: json["limit"].map { UInt32(whole($0)) } ?? page.limit)
}

func settings(_ json: JSON) -> ChannelSettings { ChannelSettings(length: whole(json["length"]!)) }

func tokenKey(_ json: JSON) -> TokenKey {
    let names: [String: Algorithm] = ["HS256": .hs256, "RS256": .rs256, "ES256": .es256, "EdDSA": .edDsa]
    return TokenKey(key: text(json["key"]!), algorithm: json["algorithm"]?.text.map { names[$0]! }, id: json["id"]?.text)
}

func claims(_ json: JSON) -> Claims {
    let user = whole(json["user"]!)
    return Claims(
        user: user,
        lifeS: json["life_s"].map(whole) ?? Claims(user: user).lifeS,
        tenant: json["tenant"].map { UInt32(whole($0)) },
        issuer: json["issuer"]?.text,
        audience: json["audience"]?.text,
        further: json["further"]?.text ?? "")
}

func listening(_ json: JSON) -> Listening {
    Listening(
        urls: json["urls"].map { list($0, text) } ?? [],
        credentials: json["credentials"].map { .hash(user: whole($0["user"]!), hash: text($0["hash"]!)) },
        inbox: json["inbox"] == .bool(true),
        acknowledgeByHand: json["acknowledge_by_hand"] == .bool(true),
        name: json["name"]?.text ?? "")
}

func value(_ json: JSON) -> Value {
    switch json {
    case .null: .null
    case let .whole(number): .int(value: number)
    case let .fraction(number): .float(value: number)
    case let .text(text): .text(value: text)
    default: .blob(value: bytes(hex: json["$blob"]!.text!))
    }
}

private func bytes(hex: String) -> Data {
    let digits = Array(hex)
    return Data(stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! })
}

/// How a case logs in.
struct LogIn {
    var hosts: [String]
    var user: String
    var password: String
    var database: String
    var options: Options
}

func logIn(_ connect: JSON, _ server: Server) -> LogIn {
    LogIn(
        hosts: connect["hosts"].map { list($0, text) } ?? [server.host],
        user: connect["user"]?.text ?? "root",
        password: connect["password"]?.text ?? Server.key,
        database: connect["database"]?.text ?? "",
        options: options(connect["options"] ?? .object([:])))
}

private func options(_ json: JSON) -> Options {
    let usual = Options()
    return Options(
        tls: json["tls"].map { Tls(caFile: $0["ca_file"]?.text, serverName: $0["server_name"]?.text) },
        callTimeoutMs: json["call_timeout_ms"].map(whole) ?? usual.callTimeoutMs,
        connectTimeoutMs: json["connect_timeout_ms"].map(whole) ?? usual.connectTimeoutMs,
        maxConnections: json["max_connections"].map { UInt32(whole($0)) } ?? usual.maxConnections,
        idleCheckMs: json["idle_check_ms"].map(whole) ?? usual.idleCheckMs,
        idleCloseMs: json["idle_close_ms"].map(whole) ?? usual.idleCloseMs,
        backOffMinMs: json["back_off_min_ms"].map(whole) ?? usual.backOffMinMs,
        backOffMaxMs: json["back_off_max_ms"].map(whole) ?? usual.backOffMaxMs,
        spread: json["spread"].map { $0 == .bool(true) } ?? usual.spread)
}
