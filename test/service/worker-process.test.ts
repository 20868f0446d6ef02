import test from 'ava'
import { divideHeap } from '../../src/service/worker-process.ts'

test('docs/scale.md: the heap that NODE_OPTIONS gives is divided among the workers, whatever else it says', (t) => {
  t.is(divideHeap('--max-old-space-size-percentage=75', 2), '--max-old-space-size-percentage=37')
  t.is(
    divideHeap('--no-warnings --max-old-space-size=1000 --trace-gc', 4),
    '--no-warnings --max-old-space-size=250 --trace-gc',
  )
  t.is(divideHeap('--max_old_space_size=1000', 3), '--max_old_space_size=333')
  t.is(divideHeap('--max-old-space-size-percentage=1', 64), '--max-old-space-size-percentage=1')
  t.is(divideHeap('--max-semi-space-size=32', 2), '--max-semi-space-size=32')
  t.is(divideHeap(undefined, 2), '')
})
