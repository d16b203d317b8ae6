// Reads one case a line from stdin and writes one decision a line to stdout.
// It drives a second evaluator, which is found by the folder of node modules
// that is the first argument, so that nothing of it becomes part of this one.
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'

const entry = join(process.argv[2], '@cloud-copilot/iam-simulate/dist/esm/index.js')
const { runSimulation } = await import(pathToFileURL(entry))
const account = '111122223333'
const out = []
for await (const line of createInterface({ input: process.stdin })) {
  const c = JSON.parse(line)
  const simulation = {
    request: {
      principal: `arn:aws:sts::${account}:assumed-role/caller/session`,
      action: c.action,
      resource: { resource: c.resource, accountId: account },
      contextVariables: c.context,
    },
    identityPolicies: [{ name: 'profile', policy: c.profile }],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
  }
  if (c.scope) simulation.sessionPolicy = c.scope
  let answer
  try {
    const result = await runSimulation(simulation, { simulationMode: 'Strict' })
    answer = result.overallResult ?? 'error: ' + JSON.stringify(result.errors).slice(0, 300)
  } catch (e) {
    answer = 'error: ' + String(e.message).replaceAll('\n', ' ')
  }
  out.push(answer)
}
process.stdout.write(out.join('\n') + '\n')
