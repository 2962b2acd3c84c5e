// What `dump` shows of records with a secret. (What `print` shows comes from the native library, and has none.)

extension TokenKey: CustomReflectable {
    /// All but the key.
    public var customMirror: Mirror {
        Mirror(self, children: ["algorithm": algorithm as Any, "id": id as Any], displayStyle: .struct)
    }
}

extension Credentials: CustomReflectable {
    /// All but the token, the hash and the key.
    public var customMirror: Mirror {
        switch self {
        case .token: Mirror(self, children: [:], displayStyle: .enum)
        case let .hash(user, _): Mirror(self, children: ["user": user], displayStyle: .enum)
        case let .key(key, claims): Mirror(self, children: ["key": key, "claims": claims], displayStyle: .enum)
        }
    }
}
