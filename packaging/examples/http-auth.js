// The classic auth service of Node, with npm's http-auth and a password file; portreeve-with-http-auth.conf asks it.
//
//     npm install http-auth@4.2.1
//     node http-auth.js
//
// It knows $apr1$, $1$, $2a$, $2y$, {SHA} and DES. Any other hash it takes for a password in plain text: whoever has
// read the file could log in with the hash itself. `htpasswd` writes $apr1$, and with -B $2y$.

const http = require("http");
const auth = require("http-auth");

const file = "/etc/portreeve/users";
const host = "127.0.0.1";
const port = 8081;

// Without the right password, it answers 401 with the challenge and "401 Unauthorized" by itself.
const basic = auth.basic({ realm: "Registry", file });

http
  .createServer(
    basic.check((request, response) => {
      // So that the gate's log and the backend know the name too (plain ASCII, or Node refuses it):
      // response.setHeader("X-Remote-User", request.user);
      response.end("User authenticated successfully");
    })
  )
  .listen(port, host, () => console.log(`listening on http://${host}:${port}`));
