// What wasm-bindgen writes beside the module; `build.mjs` says where it is.
declare module '#wasm' {
  export const Hub: import('./hub.js').HubClass;
  const init: (options: { module_or_path: string | BufferSource }) => Promise<unknown>;
  export default init;
}
