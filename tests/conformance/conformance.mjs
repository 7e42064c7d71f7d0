// Turns the conformance tests of @bufbuild/cel-spec, which are a module of JavaScript, into JSON.
// In: the module's file, as the argument. Out: a list of {section, test, type} on standard output.
import { pathToFileURL } from "node:url";

const { tests } = await import(pathToFileURL(process.argv[2]).href);

function* within(suite, path) {
  for (const { original, type } of suite.tests ?? []) {
    yield { section: path.join("/"), test: original, type: type ?? null };
  }
  for (const inner of suite.suites ?? []) {
    yield* within(inner, [...path, inner.name]);
  }
}

// JSON as JavaScript writes it has no negative zero, and some tests are about that one.
const exact = (_, value) => (Object.is(value, -0) ? "-0" : value);
process.stdout.write(JSON.stringify([...within(tests, [])], exact));
