// Verifies a receipt in the browser: a DSSE envelope, signed with Ed25519 by one of the
// public keys.
"use strict";

(function () {
  const box = document.getElementById("verdict");
  if (!box || !window.crypto || !crypto.subtle) return;
  const type = "application/vnd.lethe.erase-receipt+json";

  function say(words, more, kind) {
    box.querySelector("[data-verdict]").textContent = words;
    box.querySelector("[data-more]").textContent = more;
    box.classList.remove("good", "bad");
    if (kind) box.classList.add(kind);
  }

  function bytes(base64) {
    return Uint8Array.from(atob(base64), function (c) { return c.charCodeAt(0); });
  }

  async function get(path) {
    const answer = await fetch(path, { credentials: "same-origin" });
    if (!answer.ok) throw new Error("status " + answer.status);
    return answer.text();
  }

  function importKeys(pem) {
    const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[\s\S]+?-----END PUBLIC KEY-----/g) || [];
    return Promise.all(blocks.map(function (block) {
      const der = bytes(block.replace(/-----[^-]+-----/g, "").replace(/\s/g, ""));
      return crypto.subtle.importKey("spki", der, { name: "Ed25519" }, false, ["verify"]);
    }));
  }

  // DSSE's pre-authentication encoding.
  function signed(payloadType, payload) {
    const text = new TextEncoder();
    const kind = text.encode(payloadType);
    const head = text.encode("DSSEv1 " + kind.length + " " + payloadType + " " + payload.length + " ");
    const all = new Uint8Array(head.length + payload.length);
    all.set(head);
    all.set(payload, head.length);
    return all;
  }

  async function verify() {
    const envelope = JSON.parse(await get(box.dataset.envelope));
    let keys;
    try {
      keys = await importKeys(await get(box.dataset.keys));
    } catch (error) {
      if (error.name !== "NotSupportedError") throw error;
      return; // A browser without Ed25519 leaves what the server found.
    }
    if (envelope.payloadType !== type || envelope.signatures.length !== 1) throw new Error("not a receipt");
    const message = signed(envelope.payloadType, bytes(envelope.payload));
    const signature = bytes(envelope.signatures[0].sig);
    for (const key of keys) {
      if (await crypto.subtle.verify("Ed25519", key, signature, message)) {
        say("Verified. A key of the operator has signed this receipt.", "Your browser has checked it just now, with the public keys that you can download below.", "good");
        return;
      }
    }
    say("The signature does not fit.", "None of the public keys has signed this receipt as it is. Download it and tell us.", "bad");
  }

  verify().catch(function () {
    say("Your browser could not check it.", "The receipt or the public keys did not come. Reload the page, or check it offline as below.", "");
  });
})();
